"""What is measured, against what, and how: each module is a command that writes a table, a plot and the raw figures."""

import os

# Before TensorFlow is imported, here and in the processes that are started: what it says would bury the figures.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("PYTHONWARNINGS", "ignore")
