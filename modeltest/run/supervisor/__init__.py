"""The process that starts workers, follows them to their end and writes `run.json`."""
