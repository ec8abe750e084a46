"""The operator's command `compute-node`: one client of a node's gateway, embedded or deployed."""
