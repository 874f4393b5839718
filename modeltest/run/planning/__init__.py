"""What a run will do, before anything is loaded."""
