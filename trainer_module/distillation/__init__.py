"""Learning from a teacher: what it said of each example, and the loss that goes with it."""
