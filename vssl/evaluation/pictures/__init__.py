"""What an evaluation draws: one file a picture."""
