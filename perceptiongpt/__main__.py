"""`python -m perceptiongpt` is the command `perceptiongpt`."""

import sys

from perceptiongpt.cli import main

if __name__ == "__main__":
    sys.exit(main())
