"""Runs over several nodes: the rank table, this node's place in it, and what is started where."""
