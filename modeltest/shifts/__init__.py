"""What rounding does to answers and log-probabilities, as correct computations show it. Pure."""
