"""A trained model as one Python file that needs NumPy alone, put together from the source of the package."""

from rnn_xp.interop.standalone.file import source as source
