"""Versions of pushed models, the champion among them, approvals, and model cards."""

import finetune  # noqa: F401  # chooses Keras 2 before anything imports TensorFlow
