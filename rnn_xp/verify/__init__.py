"""The instrument: checks of gradients, numbers and properties, of this package and of anybody's."""
