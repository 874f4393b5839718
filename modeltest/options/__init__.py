"""What each command takes and the `RunSpec` that it asks for, whoever asks: shell, suite or Python."""
