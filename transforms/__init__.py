"""Backbone records and the preprocessing that follows from them."""

import finetune  # noqa: F401  # chooses Keras 2 before anything imports TensorFlow
