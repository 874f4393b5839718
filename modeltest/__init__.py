"""ModelTest: the acceptance test for a language model on an accelerator."""

__version__ = "0.1.0"
