"""The rooms of `scaling.py`: what a rank runs, how it is started, the model, the table and the picture."""
