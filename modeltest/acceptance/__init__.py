"""Tasks that ask the questions of a reference pack."""
