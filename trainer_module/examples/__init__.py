"""Transformed examples as batches, and the changes that augmentation makes."""
