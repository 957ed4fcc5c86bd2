"""TFMA's Evaluator: its config, metrics of ours within it, and what it wrote."""
