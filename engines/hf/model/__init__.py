"""A checkpoint loaded, and its plain forward pass."""
