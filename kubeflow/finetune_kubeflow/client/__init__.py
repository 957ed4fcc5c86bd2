"""What talks to Kubeflow Pipelines."""
