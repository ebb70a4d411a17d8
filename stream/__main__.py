"""``python -m stream`` is ``driftline``."""

import sys

from stream.cli import main

if __name__ == "__main__":
    sys.exit(main())
