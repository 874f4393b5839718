"""The packed forward pass: prompts that begin alike are fed once, without padding."""
