"""Reports of a suite of runs."""
