"""Reports of a comparison of two runs."""
