"""Training, as a node."""
