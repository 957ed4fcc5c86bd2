"""Asks a teacher about the examples that a model learns from."""
