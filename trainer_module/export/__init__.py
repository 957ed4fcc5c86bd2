"""The exported model: what is served, and nothing else."""
