"""What engines of every kind need: texts to token ids, devices, stop strings, completions."""
