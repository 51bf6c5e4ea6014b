"""Training: optimisers, schedules, budgets, checkpoints, and the run that holds them together."""
