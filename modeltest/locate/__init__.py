"""Names the layer and the operation in which a port departs from its reference."""
