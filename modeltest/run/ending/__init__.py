"""From a journal to summary, verdict and report files."""
