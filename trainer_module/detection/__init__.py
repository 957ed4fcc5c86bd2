"""Boxes around objects: the network's head, what it learns at each place, and how its answer becomes boxes."""
