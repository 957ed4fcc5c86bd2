"""Configuration, DAG, local runner and command line of the fine-tuning pipeline."""

import os

# The TensorFlow ecosystem around TFX is on Keras 2 (`tf_keras`). TensorFlow reads this once, when it is imported, and
# everything of ours imports this package first: this is the only place that chooses.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
