"""The gate before deployment: which metrics TFMA computes, which bounds it holds them to, and what it found."""
