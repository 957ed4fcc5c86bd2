"""Backbone records and the preprocessing that follows from them."""
