"""One YAML document as JSON's types, with the line of every field; read as strictly as kubectl does, or more so."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final, NamedTuple, cast

import yaml
from yaml.reader import ReaderError

Path = tuple[str | int, ...]
"""Names and indices from the top of a document to a value."""

MAX_BYTES: Final = 1024 * 1024
"""What the API server would store; a file beyond it is no study."""
MAX_VALUES: Final = 100_000
"""Aliases of aliases can make gigabytes of a few lines."""

_TAG: Final = "tag:yaml.org,2002:"
_TEXT_TAGS: Final = frozenset({_TAG + "str", _TAG + "timestamp", _TAG + "value"})


class Problem(NamedTuple):
    """Something wrong with a document: where, and a sentence that names value and remedy."""

    path: Path
    message: str
    line: int | None = None

    def __str__(self) -> str:
        place = path_text(self.path)
        if self.line is not None:
            place += f" (line {self.line})" if place else f"line {self.line}"
        return f"{place}: {self.message}" if place else self.message


class UnreadableError(ValueError):
    """The file cannot be made into one document; says all that is wrong."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


@dataclass(slots=True)
class Document:
    """A value and the lines on which its parts begin."""

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict[Path, int])

    def line(self, path: Path) -> int | None:
        """Of the part, or of what it would stand in."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def path_text(path: Path) -> str:
    """As kubectl writes it: spec.slos[0].metric."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).lstrip(".")


def read(path: FilePath) -> Document:
    """The only document of a file. Raises UnreadableError."""
    return parse(_text(path))


def _text(path: FilePath) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)  # bounded even where it is a device that never ends
    except FileNotFoundError:
        raise UnreadableError(Problem((), "there is no such file; check the path")) from None
    except IsADirectoryError:
        raise UnreadableError(Problem((), "this is a directory; name a file in it")) from None
    except OSError as error:
        raise UnreadableError(Problem((), f"cannot be read: {error.strerror}")) from None
    if len(content) > MAX_BYTES:
        raise UnreadableError(Problem((), "has more than 1 MiB; a study has a few hundred lines"))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnreadableError(Problem((), "is not UTF-8 text; save the file as UTF-8", line)) from None


def parse(text: str) -> Document:
    """The only document of a text. Raises UnreadableError."""
    node = _only_node(text)
    builder = _Builder()
    try:
        builder.document.value = builder.build(node, ())
    except RecursionError:
        raise UnreadableError(Problem((), _TOO_DEEP)) from None
    if builder.problems:
        raise UnreadableError(*builder.problems)
    return builder.document


_TOO_DEEP: Final = "is nested too deeply; a study has about eight levels"


def _only_node(text: str) -> yaml.Node:
    try:
        nodes = [node for node in yaml.compose_all(text, yaml.SafeLoader) if not _is_null(node)]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"column {mark.column + 1}: " if mark else ""
        message = f"{where}{error.problem or error.context}; this is not YAML"
        raise UnreadableError(Problem((), message, mark.line + 1 if mark else None)) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"holds the control character {error.character:#x}, which YAML forbids; remove it"
        raise UnreadableError(Problem((), message, line)) from None
    except RecursionError:
        raise UnreadableError(Problem((), _TOO_DEEP)) from None
    if not nodes:
        raise UnreadableError(Problem((), "is empty; write a study: kind, metadata.name and spec"))
    if len(nodes) > 1:
        second = nodes[1].start_mark.line + 1
        raise UnreadableError(Problem((), f"holds {len(nodes)} documents; give each a file of its own", second))
    return nodes[0]


def _is_null(node: object) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _TAG + "null"


class _Builder:
    """Walks the nodes of one document and collects all that is wrong on the way."""

    def __init__(self) -> None:
        self.document = Document()
        self.problems: list[Problem] = []
        self._scalars = yaml.SafeLoader("")
        self._left = MAX_VALUES

    def build(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401 - any JSON
        self._left -= 1
        if self._left < 0:
            raise UnreadableError(Problem(path, f"holds more than {MAX_VALUES} values; write less, with fewer aliases"))
        self.document.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return {key: self.build(value, (*path, key)) for key, value in self._entries(node, path)}
        if isinstance(node, yaml.SequenceNode):
            return [self.build(value, (*path, index)) for index, value in enumerate(node.value)]
        return self._scalar(node, path)

    def _entries(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, yaml.Node]]:
        """Keys are text and come once: the last of two would win silently."""
        first: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag not in _TEXT_TAGS:
                self._note(
                    path, f"key {key.value if key.id == 'scalar' else key.id} is not text; {_key_remedy(key)}", line
                )
            elif key.value in first:
                message = f"is given twice, first on line {first[key.value]}; remove one"
                self._note((*path, key.value), message, line)
            else:
                first[key.value] = line
                self.document.lines[(*path, key.value)] = line
                yield key.value, value

    def _scalar(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401 - any JSON
        # Neither a date nor minutes:seconds (an int of base 60 to YAML 1.1) is anything but text to kubectl.
        if node.tag in _TEXT_TAGS or (node.tag == _TAG + "int" and ":" in node.value):
            return node.value
        if node.tag not in {_TAG + "int", _TAG + "float", _TAG + "bool", _TAG + "null"}:
            self._note(path, f"has the tag {node.tag}, which means nothing here; remove it", node.start_mark.line + 1)
            return None
        try:
            value = cast("object", self._scalars.construct_object(node))  # pyright: ignore[reportUnknownMemberType]
        except ValueError:
            value = float("nan")
        if isinstance(value, float) and not -1e300 < value < 1e300:
            self._note(path, f"{node.value} is not a number that can be used here", node.start_mark.line + 1)
            return None
        return value

    def _note(self, path: Path, message: str, line: int) -> None:
        self.problems.append(Problem(path, message, line))


def _key_remedy(key: yaml.Node) -> str:
    if key.tag == _TAG + "merge":
        return "write the fields out"
    return "put it in quotes or use a field's name"
