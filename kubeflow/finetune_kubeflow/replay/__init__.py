"""A package without a cluster."""
