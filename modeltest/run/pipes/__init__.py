"""What supervisor and worker tell each other, and how long they wait for it."""
