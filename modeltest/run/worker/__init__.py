"""The process that owns the model: where a task meets an engine."""
