"""Tasks that one file describes, `FILE.toml` or `FILE.py`, with the rows of a CSV or JSONL file beside it."""
