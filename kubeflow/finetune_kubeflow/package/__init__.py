"""What `finetune compile` writes: the DAG as a package for Kubeflow Pipelines."""
