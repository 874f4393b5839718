"""The Python API: what `import modeltest` offers and the commands are thin over."""
