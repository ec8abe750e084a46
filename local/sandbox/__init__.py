"""Processes kept apart: started by a small launcher, each in namespaces of its own where the kernel allows it."""
