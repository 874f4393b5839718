"""This machine: its processors, memory, ports, interfaces and files, and what ranks on it tell each other."""
