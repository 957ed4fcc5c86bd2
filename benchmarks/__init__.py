"""What is measured, against what, and how: each module is a command that writes a table, a plot and the raw figures."""
