"""`python -m rnn_xp`: the command line."""

import sys

from rnn_xp.cli import main

if __name__ == "__main__":
    sys.exit(main())
