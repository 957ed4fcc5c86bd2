"""Probes an earlier task on the features of the backbone, before and after training."""
