"""The same DAG on Kubernetes, through Kubeflow Pipelines."""
