"""How a proposal's commit is known again: a trailer that fits its tree, its parent and nobody else's changes.

A branch may be written anew only where its tip is such a commit, since then nothing but our own work is on it: who
amends, rebases or adds to it leaves a tip whose trailer does not fit. It keeps honest people's work and is no proof of
anything.
"""

import hashlib
import re

from dulwich.objects import Commit, ObjectID

_TRAILER = re.compile(r"^SLO-Guard-Proposal: (\S+) ([0-9a-f]{16})$", re.MULTILINE)


def sealed_message(message: str, proposer: str, tree: ObjectID, parent: ObjectID) -> str:
    return f"{message.rstrip()}\n\nSLO-Guard-Proposal: {proposer} {_seal(proposer, tree, parent)}\n"


def proposer_of(commit: Commit) -> str:
    """Of whose proposal the commit is, alone on its parent; empty where it is anybody's work."""
    found = _TRAILER.findall(commit.message.decode("utf-8", "replace"))
    if len(found) != 1 or len(commit.parents) != 1:
        return ""
    proposer, seal = found[0]
    return proposer if seal == _seal(proposer, commit.tree, commit.parents[0]) else ""


def _seal(proposer: str, tree: ObjectID, parent: ObjectID) -> str:
    return hashlib.sha256(b"\0".join((proposer.encode(), tree, parent))).hexdigest()[:16]
