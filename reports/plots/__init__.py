"""Plots by matplotlib: each is drawn once, written as SVG and PNG, and put into a page that colours it."""
