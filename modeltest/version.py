"""The version of ModelTest. Whoever is inside asks for it here, and never for the package around it."""

__version__ = "0.1.0"
