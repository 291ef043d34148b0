"""`python -m sloguard` is the command `sloguard`."""

from sloguard.cli import main

main()
