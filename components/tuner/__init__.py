"""Searches training keys before the Trainer."""
