"""CSV files of a run."""
