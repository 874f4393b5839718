"""What an engine believes about a model, and how each belief is tried on the model at hand."""
