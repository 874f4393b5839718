"""Finds or makes the Python environment that runs ModelTest.

`run.sh` runs it as `python -m modeltest.bootstrap` before anything is installed: standard library only,
plus the `packaging` that pip carries.
"""
