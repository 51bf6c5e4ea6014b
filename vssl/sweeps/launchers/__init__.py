"""Where the processes run that carry trials out: one file a launcher."""
