"""Backbones: where each comes from, and how it is built with its weights."""
