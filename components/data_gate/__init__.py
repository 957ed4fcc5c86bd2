"""Checks the data before training, on frozen features and on the examples themselves."""
