"""Datasets: their cards, the readers of their original formats, and where they are kept."""
