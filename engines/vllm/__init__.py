"""vLLM in the worker's own process: its engine core is stepped here."""
