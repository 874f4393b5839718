"""Wire formats: how each kind of request is written, and its answer read."""
