"""Lambda code of the node: one module or package a function, plus what they share. Imports nothing of Pulumi."""
