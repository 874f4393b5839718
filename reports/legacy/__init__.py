"""The files of the predecessor, and of its older versions, column by column."""
