"""Engines: each turns requests into completions with one kind of runtime."""
