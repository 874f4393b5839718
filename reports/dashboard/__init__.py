"""The pages of a dashboard: an overview, all runs, a page per history, and one per run that has none."""
