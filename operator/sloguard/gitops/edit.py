"""Tuned settings into a text: what is changed is looked at once more before anybody writes it."""

import difflib
from collections.abc import Callable, Collection
from dataclasses import dataclass

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.shell_script import edited
from sloguard.gitops.errors import EditError
from sloguard.gitops.places import Parameters, Place
from sloguard.gitops.yaml_tree import Node, data


@dataclass(frozen=True, slots=True)
class Found:
    """A place in a text, and all documents of that text. `title` tells people which place."""

    roots: list[Node]
    place: Place
    title: str

    def rest(self) -> list[object]:
        """What the text says beside the place."""
        return [data(root, self.place.skipped()) for root in self.roots]


Finder = Callable[[str], Found]
"""Finds the place in a text, or raises EditError."""


def with_settings(text: str, find: Finder, names: Collection[KnobName], parameters: Parameters) -> str:
    """The text with exactly `parameters` among the settings `names`; all other lines stay as they are.

    Raises:
        EditError: there is no such place, or it cannot be changed without changing something else.

    """
    found = find(text)
    edits, content = found.place.change(text, names, parameters)
    if not edits:
        return text
    try:
        changed = edited(text, edits)
        again = find(changed)
        right = again.place.content() == content and again.rest() == found.rest()
    except ValueError:
        right = False
        changed = text
    if not right:
        raise EditError(
            f"{found.title}: the text is written in a way that cannot be changed safely; write the arguments as a "
            "plain list with one word a line"
        )
    return changed


def diff(before: str, after: str, name: str) -> str:
    """As `git diff` has it, to be applied by `git apply` or `patch -p1`; empty where nothing changed."""
    lines = difflib.unified_diff(_lines(before), _lines(after), f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _lines(text: str) -> list[str]:
    """Broken at line feeds only, as Git does it."""
    pieces = text.split("\n")
    return [piece + "\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])
