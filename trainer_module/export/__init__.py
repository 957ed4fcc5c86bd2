"""The exported model: what is served, as the same bytes each time."""
