"""Requests to completions: choices, generated texts, log-likelihoods."""
