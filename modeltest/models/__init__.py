"""Models: the profiles of every model word, and checkpoints inspected without loading them."""
