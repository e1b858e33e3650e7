"""`python -m captioner` is `captioner`."""

import sys

from captioner.cli import run

if __name__ == "__main__":
    sys.exit(run())
