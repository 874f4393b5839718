"""Runs of several ranks, on this machine or on several."""
