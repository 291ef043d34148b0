"""`python -m sloguard.simulator`: the same as `sloguard simulate`."""

import sys

from sloguard.simulator.serve import main

sys.exit(main(sys.argv[1:]))
