"""What went wrong in a step, in words."""
