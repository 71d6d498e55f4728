"""Six data sets of the UCR and UEA archives, learnt by one recipe, here and in PyTorch."""
