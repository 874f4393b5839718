"""JSON files of a run."""
