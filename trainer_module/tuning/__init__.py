"""The Tuner: trials of other values of training keys, those of the head alone many at a time."""
