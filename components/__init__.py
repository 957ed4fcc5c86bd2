"""TFX components of this project, one folder each: plain logic, and a thin wrapper named `component.py`."""

import finetune  # noqa: F401  # chooses Keras 2 before anything imports TensorFlow
