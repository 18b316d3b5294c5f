"""`python -m mtlrepro`."""

import sys

from mtlrepro.cli import main

sys.exit(main())
