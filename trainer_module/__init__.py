"""The Trainer: freeze the backbone, train the head, unfreeze, fine-tune, export."""

import finetune  # noqa: F401  # chooses Keras 2 before anything imports TensorFlow
