"""Whether to train again: what is new, whether it differs from what the champion was made with, and what follows."""
