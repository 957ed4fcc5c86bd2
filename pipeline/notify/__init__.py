"""Tells a webhook how a run ended: what is said (`message`), and how it gets there (`delivery`)."""
