"""Metrics, intervals, evidence, gates and verdicts, in NumPy and scikit-learn. No TensorFlow here."""

import finetune  # noqa: F401  # chooses Keras 2 before anything imports TensorFlow
