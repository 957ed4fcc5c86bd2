"""Schema and validation of raw examples."""
