"""Where the stages that Apache Beam runs are run: options, checks beforehand, and the operator that applies both."""
