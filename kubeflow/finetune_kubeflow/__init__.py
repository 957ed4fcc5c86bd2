"""The same DAG on Kubernetes, through Kubeflow Pipelines."""

import finetune  # noqa: F401  # chooses Keras 2 before anything imports TensorFlow
