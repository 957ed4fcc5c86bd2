"""Runs the served model over the test split: for the report, the confusion matrix and the baselines."""
