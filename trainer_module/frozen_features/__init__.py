"""Frozen features: what the frozen layers give once, where the network can be cut, whether that pays, and training on it."""
