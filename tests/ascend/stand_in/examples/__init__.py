"""A stand-in for the package `examples` of MindIE's atb_models."""
