"""Container build contexts, read without a container engine."""
