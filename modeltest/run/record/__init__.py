"""A run on the disk: its directory, `run.json` and the journal, and how what was asked is known again."""
