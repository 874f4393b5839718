"""The certificate of an acceptance run: made of it, written, read, and held against what it is of."""
