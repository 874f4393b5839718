"""HTTP to an endpoint: where it is, what is secret, connections, attempts, streams and their times."""
