"""What a person types and sees: the commands and the live view."""

import finetune  # noqa: F401  # chooses Keras 2 before anything imports TensorFlow
