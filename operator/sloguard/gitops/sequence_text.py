"""What to change in the text of a list of words, where some of them change: lines, or parts of a line."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from difflib import SequenceMatcher

from sloguard.domain.shell_script import Edit
from sloguard.gitops.errors import EditError
from sloguard.gitops.scalar_text import styled
from sloguard.gitops.yaml_tree import NULL, STRING, Kind, Node, last_line_end, line_end, line_ending, line_start

_NEUTRAL = Node(Kind.SCALAR, 0, 0, 0, 0, tag=STRING)
_QUOTED = Node(Kind.SCALAR, 0, 0, 0, 0, tag=STRING, style='"')


def words(node: Node | None, name: str) -> list[str]:
    """A list of words; none where it is absent or null.

    Raises:
        EditError: it is something else.

    """
    if node is None or node.is_null:
        return []
    if node.kind is Kind.ALIAS:
        raise EditError(f"line {node.line}: {name} is shared through the anchor &{node.value}; write a list here")
    if node.kind is not Kind.SEQUENCE:
        raise EditError(f"line {node.line}: {name} should be a list of words, such as [--max-num-seqs, '64']")
    found: list[str] = []
    for item in node.items:
        scalar = item.target if item.kind is Kind.ALIAS else item
        if scalar is None or scalar.kind is not Kind.SCALAR or scalar.tag == NULL:
            raise EditError(
                f"line {item.line}: an item of {name} is no text; write each word as a string (of a Helm template, "
                "change the values file instead)"
            )
        found.append(scalar.value)
    return found


def list_edits(text: str, key: Node | None, node: Node, texts: Sequence[str]) -> list[Edit]:
    """What makes the list hold `texts`; items that stay are not touched. `key` is the node of its key.

    Raises:
        EditError: it cannot be done without touching more than that.

    """
    old = words(node, "the list")
    if old == list(texts):
        return []
    if node.shared:
        raise EditError(
            f"line {node.line}: the list has the anchor &{node.shared}, which is used elsewhere too; "
            "write the other places a list of their own"
        )
    if node.is_null:
        filled = "[" + ", ".join(styled(one, _QUOTED, flow=True) for one in texts) + "]"
        return [Edit(node.content, node.end, filled if node.content < node.end else " " + filled)]
    return _FlowList(text, node).edits(old, texts) if node.flow else _BlockList(text, node, key).edits(old, texts)


class _List(ABC):
    """What both ways to write a list have in common."""

    def __init__(self, text: str, node: Node) -> None:
        self._text = text
        self._node = node

    def edits(self, old: Sequence[str], new: Sequence[str]) -> list[Edit]:
        edits: list[Edit] = []
        gone: list[int] = []
        for tag, first, last, new_first, new_last in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            if tag == "equal":
                continue
            pairs = min(last - first, new_last - new_first)
            edits += [self._replaced(first + one, new[new_first + one]) for one in range(pairs)]
            gone += range(first + pairs, last)
            if added := new[new_first + pairs : new_last]:
                edits.append(self._inserted(last, added))
        return edits + self._removed(gone)

    def _replaced(self, index: int, said: str) -> Edit:
        item = self._own(index)
        if item.style in {"|", ">"}:
            raise EditError(f"line {item.line}: a block of text stands where a setting should; write it on one line")
        return Edit(item.content, item.end, styled(said, item, flow=self._node.flow))

    def _own(self, index: int) -> Node:
        item = self._node.items[index]
        if item.shared:
            raise EditError(
                f"line {item.line}: the value has the anchor &{item.shared}, which is used elsewhere too; "
                "write the other places a value of their own"
            )
        return item

    def _new(self, said: str) -> str:
        """In the quotes that most words of the list have, or as those that need some."""
        scalars = [item for item in self._node.items if item.kind is Kind.SCALAR and item.style in {"", "'", '"'}]
        quoted = [item for item in scalars if item.style]
        if any(not item.style and item.tag != STRING for item in scalars) and said[:1] != "-":
            return styled(
                said, next(item for item in scalars if not item.style and item.tag != STRING), flow=self._node.flow
            )
        if len(quoted) * 2 > len(scalars):
            return styled(said, quoted[-1], flow=self._node.flow)
        plain = styled(said, _NEUTRAL, flow=self._node.flow)
        return plain if plain[0] != '"' or not quoted else styled(said, quoted[-1], flow=self._node.flow)

    @abstractmethod
    def _inserted(self, index: int, added: Sequence[str]) -> Edit: ...

    @abstractmethod
    def _removed(self, gone: Sequence[int]) -> list[Edit]: ...


class _BlockList(_List):
    """One item a line."""

    def __init__(self, text: str, node: Node, key: Node | None) -> None:
        super().__init__(text, node)
        self._key = key
        self._ending = line_ending(text)

    def _lead(self, index: int) -> str:
        """What stands on the item's line before it."""
        item = self._node.items[index]
        lead = self._text[line_start(self._text, item.start) : item.start]
        if lead.strip() != "-":
            raise EditError(f"line {item.line}: write each item of the list on a line of its own")
        return lead

    def _inserted(self, index: int, added: Sequence[str]) -> Edit:
        near = max(index - 1, 0)
        lead = self._lead(near)
        lines = [lead + self._new(one) for one in added]
        if not index:
            place = line_start(self._text, self._node.items[0].start)
            return Edit(place, place, "".join(line + self._ending for line in lines))
        place = last_line_end(self._text, self._node.items[near])
        return Edit(place, place, "".join(self._ending + line for line in lines))

    def _removed(self, gone: Sequence[int]) -> list[Edit]:
        edits: list[Edit] = []
        for index in gone:
            item = self._own(index)
            self._lead(index)
            if "\n" in self._text[item.start : item.end].rstrip():
                raise EditError(f"line {item.line}: an item of several lines would go; write it on one line")
            end = self._text.find("\n", item.end)
            start = line_start(self._text, item.start)
            if end < 0:  # the file's last line, which has no end
                edits.append(Edit(line_end(self._text, max(start - 2, 0)), len(self._text), ""))
            else:
                edits.append(Edit(start, end + 1, ""))
        if gone and len(gone) == len(self._node.items):
            if self._key is None:
                raise EditError(f"line {self._node.line}: nothing would be left of the list; write it as []")
            behind = self._text.index(":", self._key.end) + 1
            edits.append(Edit(behind, behind, " []"))
        return edits


class _FlowList(_List):
    """Items between brackets, on one line or several."""

    def _between(self, left: int, right: int) -> str:
        """The text between two neighbours."""
        text = self._text[self._node.items[left].end : self._node.items[right].start]
        if text.replace(",", "", 1).strip():
            raise EditError(f"line {self._node.line}: a comment stands between the list's items; write one item a line")
        return text

    def _inserted(self, index: int, added: Sequence[str]) -> Edit:
        items = self._node.items
        if not items:
            place = self._text.index("[", self._node.content) + 1
            return Edit(place, place, ", ".join(styled(one, _QUOTED, flow=True) for one in added))
        gap = self._between(len(items) - 2, len(items) - 1) if len(items) > 1 else ", "
        if not index:
            return Edit(items[0].start, items[0].start, "".join(self._new(one) + gap for one in added))
        place = items[index - 1].end
        return Edit(place, place, "".join(gap + self._new(one) for one in added))

    def _removed(self, gone: Sequence[int]) -> list[Edit]:
        items = self._node.items
        kept = [index for index in range(len(items)) if index not in gone]
        edits: list[Edit] = []
        for index in gone:
            self._own(index)
            if kept and index > kept[0]:
                self._between(index - 1, index)
                edits.append(Edit(items[index - 1].end, items[index].end, ""))
            elif index + 1 < len(items):
                self._between(index, index + 1)
                edits.append(Edit(items[index].start, items[index + 1].start, ""))
            else:
                edits.append(Edit(items[index].start, items[index].end, ""))
        return edits
