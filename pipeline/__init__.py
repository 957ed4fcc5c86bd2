"""The DAG, its local runner, the summary of a run and its report."""

import finetune  # noqa: F401  # chooses Keras 2 before anything imports TensorFlow
