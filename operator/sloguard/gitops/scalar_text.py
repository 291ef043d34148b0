"""How a scalar is written, and what to change in its text where a part of its value changes.

Each character of the value has its place in the text, whatever the style: what is between changed places stays.
"""

import json
import re
from collections.abc import Iterator, Sequence

import yaml

from sloguard.domain.shell_script import Edit
from sloguard.gitops.errors import EditError
from sloguard.gitops.yaml_tree import STRING, Kind, Node, documents

_ESCAPES = {"0": "\0", "a": "\a", "b": "\b", "t": "\t", "\t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r",
            "e": "\x1b", " ": " ", '"': '"', "\\": "\\", "/": "/", "N": "\x85", "_": "\xa0", "L": "\u2028",
            "P": "\u2029"}  # fmt: skip
_HEX = {"x": 2, "u": 4, "U": 8}

_CONTINUED = re.compile(r"[ \t]*\\?\n[ \t]*")

_Unit = tuple[str, int, int]
"""What some characters of the text, from one place to another, say."""


def value_edits(text: str, node: Node, edits: Sequence[Edit]) -> list[Edit]:
    """Edits of a scalar's value, as edits of the text that it stands in.

    Raises:
        EditError: it is written in a way that cannot be followed.

    """
    if not edits:
        return []
    if node.kind is not Kind.SCALAR or node.shared:
        raise EditError(f"line {node.line}: the value is shared through an anchor; write one here that is its own")
    places = list(_units(text, node))
    if "".join(said for said, _, _ in places) != node.value or any(len(said) > 1 for said, _, _ in places):
        raise EditError(
            f"line {node.line}: the text is written in a way that cannot be changed in part; write it as a block (|)"
        )
    return [_in_text(text, node, places, edit) for edit in edits]


def fitting(node: Node, edits: Sequence[Edit]) -> list[Edit]:
    """The edits as the scalar's style can hold them: only some can be given another line."""
    if node.style in {"|", '"'}:
        return list(edits)
    return [Edit(edit.start, edit.end, _CONTINUED.sub(" ", edit.text)) for edit in edits]


def _in_text(text: str, node: Node, places: Sequence[_Unit], edit: Edit) -> Edit:
    if not places:
        return Edit(node.content, node.end, styled(edit.text.strip(), node, flow=True))
    if edit.start < len(places) and not (edit.start and (edit.start == edit.end or places[edit.start][0].isspace())):
        start = places[edit.start][1]
    else:
        start = places[edit.start - 1][2]
    end = places[edit.end - 1][2] if edit.end > edit.start else start
    return Edit(start, end, _encoded(text, node, edit.text))


def _encoded(text: str, node: Node, said: str) -> str:
    """More text within a scalar, in its style."""
    if node.style == "'":
        return said.replace("'", "''")
    if node.style == '"':
        return json.dumps(said, ensure_ascii=False)[1:-1]
    if node.style == "|":
        first = _block_lines(text, node)[0]
        ending = "\r\n" if "\r\n" in text[node.start : node.end] else "\n"
        return said.replace("\n", ending + " " * first[2])
    return said


def _units(text: str, node: Node) -> Iterator[_Unit]:
    if node.style == "|":
        return _literal_units(text, node)
    if node.style == ">":
        return _folded_units(text, node)
    quoted = node.style in {"'", '"'}
    begin, end = (node.content + 1, node.end - 1) if quoted else (node.content, node.end)
    return _flow_units(text, begin, end, node.style)


def _block_lines(text: str, node: Node) -> list[tuple[int, int, int]]:
    """Of each line of a block: where its content begins and ends, and the block's indentation."""
    header = text.find("\n", node.content) + 1
    lines: list[tuple[int, int]] = []
    at = header
    while header and at < node.end:
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        lines.append((at, end - 1 if end > at and text[end - 1] == "\r" else end))
        at = end + 1
    first = next((text[a:b] for a, b in lines if text[a:b].strip()), "")
    digits = [c for c in text[node.content : header].partition("#")[0] if c.isdigit()]
    if digits or not first:
        raise EditError(
            f"line {node.line}: a block whose indentation is given as a number, or that is empty, cannot be changed; "
            "write it as a plain block (|)"
        )
    indent = len(first) - len(first.lstrip(" "))
    return [(min(a + indent, b), b, indent) for a, b in lines]


def _literal_units(text: str, node: Node) -> Iterator[_Unit]:
    lines = _block_lines(text, node)
    left = len(node.value)
    for index, (begin, end, _) in enumerate(lines):
        units = [(text[place], place, place + 1) for place in range(begin, end)]
        following = lines[index + 1][0] if index + 1 < len(lines) else text.find("\n", end) + 1 or len(text)
        units.append(("\n", end, following))
        yield from units[:left]
        left -= min(left, len(units))


def _folded_units(text: str, node: Node) -> Iterator[_Unit]:
    """Words are found in their lines; what lies between them in the value belongs to the line's end."""
    at = 0
    place = -1
    lines = _block_lines(text, node)
    for begin, end, _ in lines:
        line = text[begin:end]
        if not line.strip(" \t"):
            continue
        start = begin + len(line) - len(line.lstrip(" \t"))
        words = text[start:end]
        gap = at
        while gap < len(node.value) and not node.value.startswith(words, gap):
            gap += 1
        between = node.value[at:gap]
        if between:
            place = begin if place < 0 else place
            yield between[0], place, start
            for said in between[1:]:
                yield said, start, start
        for offset, said in enumerate(words):
            yield said, start + offset, start + offset + 1
        at, place = gap + len(words), end
    for said in node.value[at:]:
        yield said, place, place


def _flow_units(text: str, at: int, end: int, quote: str) -> Iterator[_Unit]:
    while at < end:
        character = text[at]
        if quote == "'" and character == "'":
            yield "'", at, at + 2
            at += 2
        elif quote == '"' and character == "\\":
            said, behind = _escape(text, at, end)
            if said:
                yield said, at, behind
            at = behind
        elif character in " \t\r\n":
            behind = at
            while behind < end and text[behind] in " \t\r\n":
                behind += 1
            breaks = text.count("\n", at, behind)
            if not breaks:
                yield from ((text[place], place, place + 1) for place in range(at, behind))
            else:
                said = " " if breaks == 1 else "\n" * (breaks - 1)
                yield said[0], at, behind
                yield from ((more, behind, behind) for more in said[1:])
            at = behind
        else:
            yield character, at, at + 1
            at += 1


def _escape(text: str, at: int, end: int) -> tuple[str, int]:
    following = text[at + 1 : at + 2]
    if following in _HEX:
        behind = at + 2 + _HEX[following]
        return chr(int(text[at + 2 : behind], 16)), behind
    if following in {"\r", "\n"}:
        behind = at + 1
        while behind < end and text[behind] in " \t\r\n":
            behind += 1
        return "", behind
    return _ESCAPES.get(following, ""), at + 2


def styled(said: str, like: Node, *, flow: bool) -> str:
    """A whole scalar in the style of another, or in double quotes where that would not do for it."""
    if like.style == "'" and said.isprintable():
        return "'" + said.replace("'", "''") + "'"
    if not like.style:
        # What was no string before, such as 64 in a chart's values, need not become one.
        tag = STRING if like.kind is Kind.ALIAS or like.tag == STRING else ""
        if _plainly(said, tag, flow=flow):
            return said
    return json.dumps(said, ensure_ascii=False)


def _plainly(said: str, tag: str, *, flow: bool) -> bool:
    """Whether it may stand without quotes and then means itself, with this tag or, without one, whatever the tag."""
    if not said or said != said.strip():
        return False
    try:
        (root,) = documents(f"[{said}, x]" if flow else f"- {said}\n")
    except (EditError, ValueError, yaml.YAMLError):
        return False
    if root.kind is not Kind.SEQUENCE or len(root.items) != (2 if flow else 1):
        return False
    item = root.items[0]
    return item.kind is Kind.SCALAR and item.value == said and not item.style and (not tag or item.tag == tag)
