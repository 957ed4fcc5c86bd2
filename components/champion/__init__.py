"""The model to beat."""
