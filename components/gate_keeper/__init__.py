"""Decides whether a candidate goes out: every gate, TFMA's own verdict, and what is said about both."""
