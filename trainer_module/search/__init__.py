"""`training.strategy: auto`: candidates are trained within a budget, and the simplest that nothing beats is kept."""
