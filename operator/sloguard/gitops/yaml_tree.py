"""YAML as a tree that knows where each node stands in the text.

PyYAML's parser says what is where and nothing is ever written by it: text is changed in place (`scalar_text.py`,
`sequence_text.py`), so that what is not changed stays character for character.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, cast

import yaml
from yaml.resolver import Resolver

from sloguard.gitops.errors import EditError

MERGE = "<<"
STRING = "tag:yaml.org,2002:str"
NULL = "tag:yaml.org,2002:null"


class Kind(Enum):
    """What a node is; an alias stands for a node that has an anchor."""

    SCALAR = "a scalar"
    SEQUENCE = "a list"
    MAPPING = "a mapping"
    ALIAS = "an alias"


@dataclass(slots=True, eq=False)
class Node:
    """Characters `start` to `end` of the text, anchor and tag included; `content` is where the value itself begins.

    Of a block collection `end` may lie behind comments that follow. `style` is a scalar's (', ", |, >) or "" if plain;
    `flow` is said of collections. `shared` is the anchor through which aliases refer to the node, or to one that it is
    within; `target` is what an alias stands for.
    """

    kind: Kind
    start: int
    end: int
    content: int
    line: int
    tag: str = ""
    value: str = ""
    style: str = ""
    flow: bool = False
    anchor: str = ""
    shared: str = ""
    target: "Node | None" = None
    items: list["Node"] = field(default_factory=list["Node"])
    pairs: list[tuple["Node", "Node"]] = field(default_factory=list[tuple["Node", "Node"]])

    @property
    def is_null(self) -> bool:
        return self.kind is Kind.SCALAR and self.tag == NULL

    def get(self, key: str) -> "Node | None":
        """A mapping's own value. Merged ones are not looked at.

        Raises:
            EditError: the key is there twice.

        """
        found = [value for name, value in self.pairs if name.kind is Kind.SCALAR and name.value == key]
        if len(found) > 1:
            raise EditError(f"line {self.line}: the key {key} stands there twice; leave one")
        return found[0] if found else None

    def key(self, key: str) -> "Node | None":
        """The node of the key itself."""
        return next((name for name, _ in self.pairs if name.kind is Kind.SCALAR and name.value == key), None)


Skipped = Collection[tuple[Node, str]]
"""A mapping and a key in it; with no key a whole item of a list."""


def documents(text: str) -> list[Node]:
    """The root of each document; a null for one that is empty.

    Raises:
        EditError: the text is no YAML.

    """
    try:
        return list(_Builder(text).documents())
    except (yaml.YAMLError, RecursionError) as error:
        raise EditError(_what_is_wrong(text, error)) from error


def _what_is_wrong(text: str, error: Exception) -> str:
    if "{{" in text:
        return (
            "this is a template of a Helm chart and no YAML before Helm fills it in; give the chart's values file "
            "instead (--helm-values FILE --path a.b.args)"
        )
    mark: Any = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark is not None else ""
    return f"{where}no valid YAML ({getattr(error, 'problem', None) or 'nested too deeply'}); mend that first"


def data(node: Node, skipped: Skipped = ()) -> object:
    """What the node says, in a form that can be compared: tags, values, anchors and order, without `skipped` pairs."""
    left_out = {(id(mapping), key) for mapping, key in skipped}
    return _data(node, left_out)


def _data(node: Node, left_out: Collection[tuple[int, str]]) -> object:
    match node.kind:
        case Kind.ALIAS:
            return ("alias", node.value)
        case Kind.SCALAR:
            return (node.anchor, node.tag, node.value)
        case Kind.SEQUENCE:
            return (node.anchor, node.tag, tuple(_data(i, left_out) for i in node.items if (id(i), "") not in left_out))
        case Kind.MAPPING:
            pairs = [(k, v) for k, v in node.pairs if (id(node), k.value) not in left_out]
            return (node.anchor, node.tag, tuple((_data(k, left_out), _data(v, left_out)) for k, v in pairs))


def _spread(node: Node, shared: str) -> None:
    """What is within something shared is shared too."""
    node.shared = node.shared or shared
    for pair in node.pairs:
        for child in pair:
            _spread(child, node.shared)
    for item in node.items:
        _spread(item, node.shared)


class _Builder:
    """From the parser's events."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._events = cast("Iterator[Any]", yaml.parse(text, Loader=yaml.SafeLoader))
        self._anchors: dict[str, Node] = {}
        self._resolver = Resolver()

    def documents(self) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors = {}
                root = self._node(next(self._events))
                _spread(root, "")
                yield root

    def _node(self, event: Any) -> Node:  # noqa: ANN401 - PyYAML has no types for its events
        start, end = event.start_mark.index, event.end_mark.index
        node = Node(Kind.SCALAR, start, end, start, event.start_mark.line + 1)
        if isinstance(event, yaml.AliasEvent):
            node.kind, node.value = Kind.ALIAS, str(cast("Any", event).anchor)
            node.target = self._anchors.get(node.value)
            if node.target is None:
                raise EditError(f"line {node.line}: nothing has the anchor &{event.anchor}; mend that first")
            node.target.shared = node.value
            return node
        node.anchor = event.anchor or ""
        if event.anchor:
            self._anchors[event.anchor] = node
        node.content = self._content(event)
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(node, event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._sequence(node, event)
        else:
            self._mapping(node, event)
        return node

    def _scalar(self, node: Node, event: Any) -> None:  # noqa: ANN401 - as above
        node.value, node.style = event.value, event.style or ""
        node.tag = event.tag or self._tag(yaml.ScalarNode, event.value, event.implicit)

    def _sequence(self, node: Node, event: Any) -> None:  # noqa: ANN401 - as above
        node.kind, node.flow = Kind.SEQUENCE, bool(event.flow_style)
        node.tag = event.tag or self._tag(yaml.SequenceNode, None, event.implicit)
        while not isinstance(inner := next(self._events), yaml.SequenceEndEvent):
            node.items.append(self._node(inner))
        node.end = cast("Any", inner).end_mark.index

    def _mapping(self, node: Node, event: Any) -> None:  # noqa: ANN401 - as above
        node.kind, node.flow = Kind.MAPPING, bool(event.flow_style)
        node.tag = event.tag or self._tag(yaml.MappingNode, None, event.implicit)
        while not isinstance(inner := next(self._events), yaml.MappingEndEvent):
            key = self._node(inner)
            node.pairs.append((key, self._node(next(self._events))))
        node.end = cast("Any", inner).end_mark.index

    def _tag(self, kind: Any, value: str | None, implicit: Any) -> str:  # noqa: ANN401 - as above
        return cast("str", cast("Any", self._resolver).resolve(kind, value, implicit))

    def _content(self, event: Any) -> int:  # noqa: ANN401 - as above
        """Behind anchor and tag."""
        at = cast("int", event.start_mark.index)
        while self._text[at : at + 1] in {"&", "!"} and at < event.end_mark.index:
            while at < event.end_mark.index and not self._text[at].isspace():
                at += 1
            while at < event.end_mark.index and self._text[at].isspace():
                at += 1
        return at


def line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def line_end(text: str, at: int) -> int:
    """Where the line's text ends, before its line ending."""
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    return end - 1 if end > at and text[end - 1] == "\r" else end


def line_ending(text: str) -> str:
    """As the text's first line has it."""
    end = text.find("\n")
    return "\r\n" if end > 0 and text[end - 1] == "\r" else "\n"


def last_line_end(text: str, node: Node) -> int:
    """Where the last line of a node's own text ends, whatever comments follow."""
    if node.kind is Kind.SEQUENCE and node.items and not node.flow:
        return last_line_end(text, node.items[-1])
    if node.kind is Kind.MAPPING and node.pairs and not node.flow:
        key, value = node.pairs[-1]
        return last_line_end(text, key if value.is_null and value.start == value.end else value)
    inside = text[node.start : node.end]
    return line_end(text, node.start + len(inside.rstrip()))
