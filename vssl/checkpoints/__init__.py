"""Weights of other projects: one file a layout, read safely, mapped by name, never loaded in part unsaid."""
