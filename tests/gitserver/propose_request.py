"""Reads a request from a file and proposes it: the process that tests kill."""

import sys
from pathlib import Path

from sloguard.gitops.remote.proposal import Request
from sloguard.gitops.remote.propose import propose

print(propose(Request.model_validate_json(Path(sys.argv[1]).read_text())).model_dump_json())
