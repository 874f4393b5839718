"""MindIE-LLM: the engines `mindie_pa` and `mindie_fa`, and what they know of its files and variables."""
