"""Phases: what is frozen, one step of training, schedules, early stopping, checkpoints, and how they go together."""
