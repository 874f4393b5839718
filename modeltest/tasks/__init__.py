"""One module per task: what to ask of a model and how to judge it."""
