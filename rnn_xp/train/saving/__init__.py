"""A training in a file, and back."""
