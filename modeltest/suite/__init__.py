"""Many runs from one file: models x engines x tasks, with one load of each model and engine."""
