"""A catalogue of what ports of models do wrong, each put into a loaded model as a small patch."""
