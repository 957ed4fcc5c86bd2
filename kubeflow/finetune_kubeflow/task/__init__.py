"""What runs in the pod of a task."""
