"""The history of many runs: an index in SQLite, what changed for better or worse, and a site of it."""
