"""Where vLLM's arguments can stand in a file, and what to change there for others.

Each place answers what it holds and what to change; `edit.py` makes the change and looks at what came of it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.arguments import ArgumentsError, tuned, with_parameters
from sloguard.domain.container_command import ContainerCommand, read_command
from sloguard.domain.knobs import KNOBS, parse_value, value_text
from sloguard.domain.knobs import Kind as KnobKind
from sloguard.domain.shell_script import Edit, ScriptError, Word, commands, edited, word_edits
from sloguard.gitops.errors import EditError
from sloguard.gitops.scalar_text import fitting, styled, value_edits
from sloguard.gitops.sequence_text import list_edits, words
from sloguard.gitops.yaml_tree import MERGE, STRING, Kind, Node, Skipped, last_line_end, line_ending, line_start

Parameters = Mapping[KnobName, str]


class Place(Protocol):
    """Arguments somewhere in a text."""

    def settings(self) -> dict[KnobName, str]:
        """What is set there, as canonical text."""
        ...

    def change(self, text: str, names: Collection[KnobName], parameters: Parameters) -> tuple[list[Edit], object]:
        """What to change, and what `content` has to be then.

        Raises:
            EditError: it cannot be done safely.

        """
        ...

    def content(self) -> object:
        """All that the place holds."""
        ...

    def skipped(self) -> Skipped:
        """The place in the tree, so that everything else can be compared without it."""
        ...


@dataclass(frozen=True, slots=True)
class ContainerPlace:
    """A container's command and args; also anything else that has keys like them, such as KServe's `model`."""

    container: Node

    def read(self) -> ContainerCommand:
        """Where vLLM's arguments stand.

        Raises:
            EditError: it cannot be told.

        """
        try:
            return read_command(*self._lists())
        except ArgumentsError as error:
            raise EditError(f"line {self.container.line}: {error}") from error

    def _lists(self) -> tuple[list[str], list[str]]:
        return words(own(self.container, "command"), "command"), words(own(self.container, "args"), "args")

    def settings(self) -> dict[KnobName, str]:
        return _settings(self.read().arguments)

    def change(self, text: str, names: Collection[KnobName], parameters: Parameters) -> tuple[list[Edit], object]:
        read = self.read()
        _check_config_file(read.arguments)
        arguments = _with_parameters(read.arguments, names, parameters)
        try:
            if read.script is not None:
                return self._in_script(text, read, read.script_edits(arguments))
            command, args = read.with_arguments(arguments)
        except ArgumentsError as error:
            raise EditError(f"line {self.container.line}: {error}") from error
        edits: list[Edit] = []
        for key, now, then in (("command", list(read.command), command), ("args", list(read.args), args)):
            if now == then:
                continue
            node = own(self.container, key)
            if node is None:
                edits.append(added_list(text, self.container, key, then, behind="command"))
            else:
                edits += list_edits(text, self.container.key(key), node, then)
        return edits, (command, args)

    def _in_script(self, text: str, read: ContainerCommand, edits: list[Edit]) -> tuple[list[Edit], object]:
        assert read.script is not None, "called for a script"
        in_command = read.script.index < len(read.command)
        key, index = ("command", read.script.index) if in_command else ("args", read.script.index - len(read.command))
        node = own(self.container, key)
        assert node is not None, "the script was read from it"
        edits = fitting(node.items[index], edits)
        content = {"command": list(read.command), "args": list(read.args)}
        content[key][index] = edited(read.script.text, edits)
        return value_edits(text, node.items[index], edits), (content["command"], content["args"])

    def content(self) -> object:
        return self._lists()

    def skipped(self) -> Skipped:
        return [(self.container, "command"), (self.container, "args")]


@dataclass(frozen=True, slots=True)
class ValuePlace:
    """One value of a mapping that holds flags: a list of words, or a string as a shell would read it."""

    owner: Node
    key: str

    def _node(self) -> Node | None:
        return own(self.owner, self.key)

    def _string(self) -> Node | None:
        """The node, where it holds flags as a string."""
        node = self._node()
        return node if node is not None and node.kind is Kind.SCALAR and not node.is_null else None

    def _arguments(self) -> list[str]:
        node = self._string()
        return self._read().arguments_list() if node is None else [word.text for word in _flags_of(node)]

    def _read(self) -> "_Words":
        return _Words(words(self._node(), self.key))

    def settings(self) -> dict[KnobName, str]:
        return _settings(self._arguments())

    def change(self, text: str, names: Collection[KnobName], parameters: Parameters) -> tuple[list[Edit], object]:
        before = self._arguments()
        _check_config_file(before)
        arguments = _with_parameters(before, names, parameters)
        if (string := self._string()) is not None:
            if any("$" in word or "`" in word for word in set(arguments) - set(before)):
                raise EditError(f"line {string.line}: a value with $ or ` cannot be written into a string of flags")
            edits = fitting(string, word_edits(string.value, 0, _flags_of(string), arguments))
            if not before:
                edits = [Edit(edit.start, edit.end, edit.text.lstrip()) for edit in edits]
            return value_edits(text, string, edits), arguments
        node = self._node()
        then = self._read().with_arguments(arguments)
        if node is None:
            return ([added_list(text, self.owner, self.key, then)] if then else []), then
        return list_edits(text, self.owner.key(self.key), node, then), then

    def content(self) -> object:
        return words(self._node(), self.key) if self._string() is None else self._arguments()

    def skipped(self) -> Skipped:
        return [(self.owner, self.key)]


@dataclass(frozen=True, slots=True)
class _Words:
    """A list in a chart's values: flags, or a whole command line."""

    texts: list[str]

    def _split(self) -> ContainerCommand:
        try:
            return read_command([], self.texts)
        except ArgumentsError as error:
            raise EditError(str(error)) from error

    def arguments_list(self) -> list[str]:
        return list(self._split().arguments)

    def with_arguments(self, arguments: Sequence[str]) -> list[str]:
        read = self._split()
        if read.script is not None:
            raise EditError("the list starts a shell; give the manifest that Helm makes of it, or write flags alone")
        return read.with_arguments(arguments)[1]


@dataclass(frozen=True, slots=True)
class SettingsPlace:
    """A mapping with a key for each setting: a file for vLLM's --config, or a chart's `maxNumSeqs: 64`.

    Keys are understood with dashes, underscores or in camelCase. A new one is written as its neighbours are, where
    those show that any flag may stand there; a chart's own names (camelCase) are not guessed.
    """

    mapping: Node

    def settings(self) -> dict[KnobName, str]:
        return _settings([word for name, node in self._pairs() for word in _as_flag(name, node)])

    def _pairs(self) -> list[tuple[KnobName, Node]]:
        found: dict[KnobName, Node] = {}
        for key, value in self.mapping.pairs:
            name = _knob_of(key.value)
            if name is None:
                continue
            if name in found:
                raise EditError(f"line {key.line}: {name.value} stands there twice; leave one")
            if value.kind is not Kind.SCALAR:
                raise EditError(f"line {key.line}: {key.value} should be one value of its own")
            found[name] = value
        return list(found.items())

    def change(self, text: str, names: Collection[KnobName], parameters: Parameters) -> tuple[list[Edit], object]:
        if self.mapping.shared or any(key.value == MERGE for key, _ in self.mapping.pairs):
            raise EditError(f"line {self.mapping.line}: the mapping is shared through an anchor; write one of its own")
        there = dict(self._pairs())
        content = {name: self._said(name, node, names, parameters) for name, node in there.items()}
        edits = [
            Edit(node.content, node.end, styled(content[name], node, flow=self.mapping.flow))
            for name, node in there.items()
            if content[name] != node.value
        ]
        missing = [name for name in KNOBS if name in parameters and name not in there]
        wanted = [name for name in missing if parse_value(name, parameters[name]) != KNOBS[name].absent_value]
        if wanted:
            edits.append(self._added(text, {name: parameters[name] for name in wanted}))
        return edits, content | {name: parameters[name] for name in wanted}

    def _said(self, name: KnobName, node: Node, names: Collection[KnobName], parameters: Parameters) -> str:
        """What a line that is there has to say."""
        knob = KNOBS[name]
        if name in parameters:
            said = parameters[name]
            if _settings(_as_flag(name, node)).get(name) == said:
                return node.value
            if node.shared:
                raise EditError(f"line {node.line}: the value's anchor &{node.shared} is used elsewhere too")
            if knob.kind is not KnobKind.SWITCH and parse_value(name, said) == knob.absent_value:
                raise EditError(f"line {node.line}: {name.value} has to go; remove the line")
            return said
        if name not in names:
            return node.value
        if knob.kind is not KnobKind.SWITCH or knob.default is None:
            raise EditError(
                f"line {node.line}: {name.value} is to be left to vLLM's default; remove the line, if the "
                "chart does not give a default of its own"
            )
        default = value_text(knob.default or False)
        return node.value if node.value.lower() == default else default

    def _added(self, text: str, parameters: Parameters) -> Edit:
        keys = [key.value for key, _ in self.mapping.pairs]
        if not keys or self.mapping.flow or any(re.search(r"[a-z][A-Z]", key) for key in keys):
            names = ", ".join(name.value for name in parameters)
            raise EditError(
                f"line {self.mapping.line}: nothing says by which key {names} can be set there; add it by hand, or "
                "give the path of the chart's list of further arguments"
            )
        lead = text[line_start(text, self.mapping.pairs[0][0].start) : self.mapping.pairs[0][0].start]
        indent = " " * len(lead)
        dashes = not any("_" in key for key in keys)
        lines = [
            f"{indent}{KNOBS[name].flag[2:] if dashes else name.value}: {said}" for name, said in parameters.items()
        ]
        place = last_line_end(text, self.mapping)
        return Edit(place, place, "".join(line_ending(text) + line for line in lines))

    def content(self) -> object:
        return {name: node.value for name, node in self._pairs()}

    def skipped(self) -> Skipped:
        return [(self.mapping, key.value) for key, _ in self.mapping.pairs if _knob_of(key.value) is not None]


@dataclass(frozen=True, slots=True)
class EmbeddedPlace:
    """Another place, in YAML that is itself a string of this one, such as Argo CD's `helm.values`."""

    owner: Node
    key: str
    scalar: Node
    inner: Place
    rest: object
    """What else the string says."""

    def settings(self) -> dict[KnobName, str]:
        return self.inner.settings()

    def change(self, text: str, names: Collection[KnobName], parameters: Parameters) -> tuple[list[Edit], object]:
        edits, content = self.inner.change(self.scalar.value, names, parameters)
        return value_edits(text, self.scalar, edits), (content, self.rest)

    def content(self) -> object:
        return self.inner.content(), self.rest

    def skipped(self) -> Skipped:
        return [(self.owner, self.key)]


@dataclass(frozen=True, slots=True)
class OperationsPlace:
    """JSON 6902 operations that add one word each at the end of a container's args."""

    operations: Node
    values: list[Node] = field(default_factory=list[Node])
    owners: list[Node] = field(default_factory=list[Node])

    def _arguments(self) -> list[str]:
        return [node.value for node in self.values]

    def settings(self) -> dict[KnobName, str]:
        return _settings(self._arguments())

    def change(self, text: str, names: Collection[KnobName], parameters: Parameters) -> tuple[list[Edit], object]:
        before = self._arguments()
        arguments = _with_parameters(before, names, parameters)
        if len(arguments) < len(before) or self.operations.flow:
            raise EditError(
                f"line {self.operations.line}: an operation would have to go; write one operation with the whole list "
                "of args instead"
            )
        if any(node.shared for node in self.values):
            raise EditError(f"line {self.operations.line}: a value's anchor is used elsewhere too; write its own")
        edits = [
            Edit(node.content, node.end, styled(said, node, flow=owner.flow))
            for node, owner, said in zip(self.values, self.owners, arguments, strict=False)
            if node.value != said
        ]
        if added := arguments[len(before) :]:
            edits.append(self._added(text, added))
        return edits, arguments

    def _added(self, text: str, added: Sequence[str]) -> Edit:
        """The last operation once more for each, with another word."""
        value, operation = self.values[-1], self.owners[-1]
        start, end = line_start(text, operation.start), last_line_end(text, operation)
        model = text[start:end]
        if "\n" in text[value.content : value.end] or "#" in model or value.anchor:
            raise EditError(f"line {value.line}: write the operation plainly, without comments, to have more like it")
        head, tail = text[start : value.content], text[value.end : end]
        lines = [head + styled(said, value, flow=operation.flow) + tail for said in added]
        return Edit(end, end, "".join(line_ending(text) + line for line in lines))

    def content(self) -> object:
        return self._arguments()

    def skipped(self) -> Skipped:
        return [(owner, "") for owner in self.owners]


def own(mapping: Node, key: str) -> Node | None:
    """A mapping's value, which is no one else's.

    Raises:
        EditError: it comes from elsewhere through an anchor.

    """
    if mapping.kind is Kind.ALIAS:
        raise EditError(
            f"line {mapping.line}: what is used here belongs to the anchor &{mapping.value}; write it out here"
        )
    if mapping.kind is not Kind.MAPPING:
        raise EditError(f"line {mapping.line}: there should be a mapping with the key {key}, not {mapping.kind.value}")
    found = mapping.get(key)
    if found is None and _is_merged(mapping, key):
        raise EditError(
            f"line {mapping.line}: {key} comes from what is merged there (<<), which others may use too; write {key} "
            "here itself"
        )
    if mapping.shared:
        raise EditError(
            f"line {mapping.line}: the anchor &{mapping.shared} is used elsewhere too; a change here would change that"
        )
    if found is not None and found.kind is Kind.ALIAS:
        raise EditError(f"line {found.line}: {key} is what the anchor &{found.value} says; write it out here")
    return found


def _is_merged(mapping: Node, key: str) -> bool:
    """Whether what is merged there, or into that, has the key; an anchor may well refer to itself."""
    seen: list[Node] = []
    left = [mapping]
    while left:
        one = left.pop()
        seen.append(one)
        merged = one.get(MERGE)
        aliases = [] if merged is None else merged.items if merged.kind is Kind.SEQUENCE else [merged]
        sources = [alias.target or alias for alias in aliases]
        if any(source.get(key) is not None for source in sources):
            return True
        left += [source for source in sources if source not in seen]
    return False


def added_list(text: str, mapping: Node, key: str, texts: Sequence[str], behind: str = "") -> Edit:
    """A new list at the end of a mapping, or behind one of its keys.

    Raises:
        EditError: the mapping is not written one key a line.

    """
    if mapping.flow or not mapping.pairs:
        raise EditError(f"line {mapping.line}: there is no {key}; add it, such as {key}: [], and try again")
    pairs = [pair for pair in mapping.pairs if pair[0].value == behind] or [mapping.pairs[-1]]
    first = mapping.pairs[0][0]
    column = first.start - line_start(text, first.start)
    neighbour = pairs[0][1]
    step = 0
    if neighbour.kind is Kind.SEQUENCE and not neighbour.flow and neighbour.items:
        start = line_start(text, neighbour.items[0].start)
        step = max(text.index("-", start) - start - column, 0)
    place = max(last_line_end(text, value if value.start < value.end else name) for name, value in pairs)
    scalars = [
        item for item in neighbour.items if item.kind is Kind.SCALAR and item.tag == STRING and item.style != "|"
    ]
    like = scalars[-1] if scalars else Node(Kind.SCALAR, 0, 0, 0, 0, tag=STRING)
    lines = [" " * column + f"{key}:", *(" " * (column + step) + "- " + styled(one, like, flow=False) for one in texts)]
    return Edit(place, place, "".join(line_ending(text) + line for line in lines))


def _settings(arguments: Sequence[str]) -> dict[KnobName, str]:
    try:
        return tuned(arguments)
    except ArgumentsError as error:
        raise EditError(str(error)) from error


def _with_parameters(arguments: Sequence[str], names: Collection[KnobName], parameters: Parameters) -> list[str]:
    """New settings as `--flag=value` where all others are written so."""
    try:
        words_then = with_parameters(arguments, names, parameters)
        there = tuned(arguments)
    except ArgumentsError as error:
        raise EditError(str(error)) from error
    new = {KNOBS[name].flag for name in parameters if name not in there and KNOBS[name].kind is not KnobKind.SWITCH}
    if not _attached(arguments):
        return words_then
    joined: list[str] = []
    for word in words_then:
        if joined and joined[-1] in new:
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _attached(arguments: Sequence[str]) -> bool:
    """Whether values stand behind an equals sign, and none on its own."""
    flags = [word.startswith("-") for word in arguments]
    apart = any(
        flag and "=" not in word and not following
        for word, flag, following in zip(arguments, flags, flags[1:], strict=False)
    )
    return not apart and any(flag and "=" in word for word, flag in zip(arguments, flags, strict=True))


def _check_config_file(arguments: Sequence[str]) -> None:
    """A setting that is left out here may stand there, and vLLM's default would not hold then."""
    for word in arguments:
        if word == "--config" or word.startswith("--config="):
            raise EditError(
                "vLLM reads further settings from a file (--config), which cannot be seen from here; change that file, "
                "or the ConfigMap that holds it, instead"
            )


def _flags_of(node: Node) -> list[Word]:
    """A string's words, as a shell takes them; lines may be broken anywhere."""
    try:
        found = [word for command in commands(node.value) for word in command.words]
    except ScriptError as error:
        raise EditError(f"line {node.line}: the string {error}") from error
    at = 0
    for word in [*found, Word(len(node.value), len(node.value), "")]:
        if node.value[at : word.start].strip(" \t\n\\"):
            raise EditError(f"line {node.line}: the string should hold flags alone, such as --max-num-seqs 64")
        at = word.end
    return found


def _knob_of(key: str) -> KnobName | None:
    plain = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", key.removeprefix("--")).replace("-", "_").lower()
    return KnobName(plain) if plain in set(KnobName) else None


def _as_flag(name: KnobName, node: Node) -> list[str]:
    return [f"{KNOBS[name].flag}={node.value}"]
