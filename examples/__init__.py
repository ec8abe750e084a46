"""Workflows and processors that run on every node, with real data to run them on."""
