"""Many trainings and evaluations from one request: the plan, its state on disk, and its execution."""
