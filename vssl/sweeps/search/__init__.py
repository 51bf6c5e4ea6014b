"""Searches: some points of the axes are tried, and the online probe chooses among them."""
