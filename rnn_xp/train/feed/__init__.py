"""What a step is given: data checked, in an order, in batches and windows."""
