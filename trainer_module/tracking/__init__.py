"""Training as it goes, written for TensorBoard and MLflow."""
