"""Where the node's functions and tasks run. The variants share the interface of `base.Network`."""
