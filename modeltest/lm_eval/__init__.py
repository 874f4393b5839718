"""The bridge to lm-evaluation-harness: its tasks and scores, any of our engines."""
