"""Text from a model for prompts of the user: read, asked, and written line by line as it comes."""
