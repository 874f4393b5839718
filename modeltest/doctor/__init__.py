"""Whether this machine can run a model: one finding per check, with the command that mends it."""
