"""Several machines that train together: plain Kubernetes, no operator."""
