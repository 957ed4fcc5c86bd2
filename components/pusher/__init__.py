"""Pushes a blessed model to a folder of numbered versions."""
