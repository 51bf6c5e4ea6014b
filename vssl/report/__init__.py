"""Records to tables and plots: a pure function of what runs left behind. No torch."""
