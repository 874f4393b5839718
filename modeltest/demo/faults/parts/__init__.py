"""What faults are made with: the parts of a model, and changes that are taken off exactly."""
