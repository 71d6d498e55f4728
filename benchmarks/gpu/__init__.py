"""The parts of `gpu_check.py`, each a file, and the table and plot of its record."""
