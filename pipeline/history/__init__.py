"""What became of runs and versions over time: collected, told as one list of events, and shown on a page."""
