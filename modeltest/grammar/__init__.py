"""The positional words of `run.sh`: their grammar, its usage texts and its modes."""
