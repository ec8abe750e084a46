"""The embedded AWS: the same program, bundles and state machine, run on this machine without an account."""
