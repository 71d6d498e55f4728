"""The loop of a training: its steps, its state, what it tells."""
