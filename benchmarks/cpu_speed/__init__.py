"""The parts of `cpu.py`: contenders in processes of their own, what they are asked to do, table and plots."""
