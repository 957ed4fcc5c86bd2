"""Frozen features: what the frozen layers give once, where to cut, whether that pays, and training on what is kept."""
