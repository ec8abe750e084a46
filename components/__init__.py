"""The parts of the compute node: one component a module, and the pure plans that they walk."""
