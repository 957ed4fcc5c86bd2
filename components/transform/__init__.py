"""TFX's Transform, and the examples that it leaves for the Trainer."""
