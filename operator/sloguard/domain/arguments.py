"""vLLM's command line: which knobs it sets, and the same command line with other knobs.

Words are understood as vLLM's FlexibleArgumentParser does (`vllm/utils/argparse_utils.py`, 0.33.0): dashes or
underscores, `--flag value` or `--flag=value`, abbreviated flags, `--[no-]switch` and `--disable-x` for `--enable-x`,
the last one wins.
Flags that are not in the catalogue are never interpreted and never touched.
Not seen: settings in a file named by `--config`, and `$(VAR)` that Kubernetes would fill in.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sloguard.api.v1alpha1 import KnobName

from .knobs import KNOBS, Kind, Knob, KnobError, parse_value, value_text

END_OF_FLAGS = "--"
_NUMBER = re.compile(r"-[0-9.]+")
_SHELLS = {"sh", "bash", "dash", "ash", "zsh"}
_MODULES = {"vllm.entrypoints.openai.api_server", "sloguard.simulator"}


class ArgumentsError(ValueError):
    """A command line that cannot be tuned; the message says why and what to write instead."""


@dataclass(frozen=True, slots=True)
class _Flag:
    """A word that means a knob; `switched` is what the bare word says of a switch."""

    knob: Knob
    switched: bool = True


def _flags() -> dict[str, _Flag]:
    flags: dict[str, _Flag] = {}
    for knob in KNOBS.values():
        flags[knob.flag] = _Flag(knob)
        if knob.short_flag:
            flags[knob.short_flag] = _Flag(knob)
        if knob.kind is Kind.SWITCH:
            flags["--no-" + knob.flag[2:]] = _Flag(knob, switched=False)
            if knob.flag.startswith("--enable-"):
                flags["--disable-" + knob.flag.removeprefix("--enable-")] = _Flag(knob, switched=False)
    return flags


_FLAGS = _flags()
_SHORTEST_ABBREVIATION = len("--block")


class _Occurrence(NamedTuple):
    """Words `start` to `end` (exclusive) of a command line set `knob`; `text` is the value as canonical text."""

    knob: Knob
    text: str
    start: int
    end: int


def tuned(arguments: Sequence[str]) -> dict[KnobName, str]:
    """The knobs that the command line sets, in the catalogue's order, as canonical text.

    A malformed value stays as written, for parse_values to refuse.
    """
    found = {occurrence.knob.name: occurrence.text for occurrence in _occurrences(arguments)}
    return {name: found[name] for name in KNOBS if name in found}


def with_parameters(
    arguments: Sequence[str], names: Collection[KnobName], parameters: Mapping[KnobName, str]
) -> list[str]:
    """The command line with exactly these `parameters` among the knobs `names`; everything else stays, word for word.

    A knob that is set already keeps its place and spelling (also its value's, where that means the same); others are
    appended. A knob of `names` without a parameter is removed, and vLLM's default then holds.
    """
    managed = set(names) | set(parameters)
    occurrences = [occurrence for occurrence in _occurrences(arguments) if occurrence.knob.name in managed]
    in_effect = {occurrence.knob.name: occurrence for occurrence in occurrences}
    replaced: dict[int, list[str]] = {occurrence.start: [] for occurrence in occurrences}
    for name, occurrence in in_effect.items():
        if name in parameters:
            replaced[occurrence.start] = _rewritten(
                arguments[occurrence.start : occurrence.end], occurrence, parameters
            )
    skipped = {index for occurrence in occurrences for index in range(occurrence.start, occurrence.end)}
    added = [
        word
        for name in KNOBS
        if name in parameters and name not in in_effect
        for word in _written(KNOBS[name], parameters[name])
    ]
    return _assembled(arguments, skipped, replaced, added)


def _assembled(
    arguments: Sequence[str], skipped: Collection[int], replaced: Mapping[int, list[str]], added: list[str]
) -> list[str]:
    end = _end_of_flags(arguments)
    words: list[str] = []
    for index, word in enumerate(arguments):
        if index == end:
            words += added
        words += replaced.get(index, [])
        if index not in skipped:
            words.append(word)
    return words if end < len(arguments) else words + added


def same_arguments(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two command lines mean the same: knobs wherever and however they are written, all else word for word."""
    if list(one) == list(other):
        return True
    try:
        return _in_effect(one) == _in_effect(other) and untuned(one) == untuned(other)
    except ArgumentsError:
        return False


def _in_effect(arguments: Sequence[str]) -> dict[KnobName, str]:
    """Without what says no more than its absence."""
    return {name: text for name, text in tuned(arguments).items() if not _says_nothing(name, text)}


def _says_nothing(name: KnobName, text: str) -> bool:
    absent = KNOBS[name].absent_value
    return absent is not None and text == value_text(absent)


def untuned(arguments: Sequence[str]) -> list[str]:
    """All that is no knob, word for word."""
    return with_parameters(arguments, KNOBS, {})


def option(arguments: Sequence[str], name: str) -> str | None:
    """The value of any flag, such as "port" or "served-model-name" (its first name), or None; the last one wins.

    "model" is also the positional argument that comes first.
    """
    flag = _canonical("--" + name)
    value = None
    words = arguments[: _end_of_flags(arguments)]
    for index, word in enumerate(words):
        head, equals, tail = word.partition("=")
        if _canonical(head) != flag:
            continue
        if equals:
            value = tail
        elif index + 1 < len(words) and not _is_flag(words[index + 1]):
            value = words[index + 1]
    if value is None and flag == "--model" and words and not _is_flag(words[0]):
        return words[0]
    return value


def split_command(command: Sequence[str]) -> tuple[list[str], list[str]]:
    """A whole command line as (what starts the server, vLLM's own arguments).

    Raises ArgumentsError for what is not recognised: a guess could tune the wrong program.
    """
    if command and _program(command[0]) in _SHELLS:
        raise ArgumentsError(
            f"the server is started through a shell ({' '.join(command[:2])} ...), whose text cannot be changed "
            "safely; write command and args as lists, such as [vllm, serve, MODEL, --max-num-seqs, '64']"
        )
    for length, starts in _ENTRY_POINTS:
        for position in range(max(0, len(command) - length + 1)):
            if starts(command[position : position + length]):
                end = position + length
                return list(command[:end]), list(command[end:])
    raise ArgumentsError(
        f"no vLLM server in the command {' '.join(command) or '(empty)'!r}; it should hold 'vllm serve MODEL', "
        "'python -m vllm.entrypoints.openai.api_server' or 'sloguard simulate MODEL'"
    )


def _is_vllm_serve(words: Sequence[str]) -> bool:
    return _program(words[0]) == "vllm" and words[1] == "serve"


def _is_simulator(words: Sequence[str]) -> bool:
    return _program(words[0]) == "sloguard" and words[1] == "simulate"


def _is_simulator_module(words: Sequence[str]) -> bool:
    return list(words) == ["-m", "sloguard", "simulate"]


def _is_server_module(words: Sequence[str]) -> bool:
    return words[0] == "-m" and words[1] in _MODULES


_ENTRY_POINTS = ((2, _is_vllm_serve), (2, _is_simulator), (3, _is_simulator_module), (2, _is_server_module))


def _program(word: str) -> str:
    return word.rsplit("/", 1)[-1]


def _occurrences(arguments: Sequence[str]) -> Iterator[_Occurrence]:
    end = _end_of_flags(arguments)
    index = 0
    while index < end:
        occurrence = _occurrence(arguments[:end], index)
        if occurrence is not None:
            yield occurrence
        index = occurrence.end if occurrence is not None else index + 1


def _occurrence(words: Sequence[str], index: int) -> _Occurrence | None:
    head, equals, tail = words[index].partition("=")
    flag = _flag(head)
    if flag is None:
        return None
    following = words[index + 1] if index + 1 < len(words) else None
    if flag.knob.kind is Kind.SWITCH:
        return _switch(flag, index, tail if equals else None, following)
    if equals:
        return _Occurrence(flag.knob, _normal(flag.knob, tail), index, index + 1)
    if following is None or _is_flag(following):
        raise ArgumentsError(f"{words[index]} has no value; write one after it or remove it")
    return _Occurrence(flag.knob, _normal(flag.knob, following), index, index + 2)


def _switch(flag: _Flag, index: int, attached: str | None, following: str | None) -> _Occurrence:
    """Today's switches take no value; those of vLLM before 0.9 may carry true or false."""
    if attached is not None:
        value, end = attached, index + 1
    elif following is not None and following.lower() in {"true", "false"}:
        value, end = following, index + 2
    else:
        value, end = "true", index + 1
    text = _normal(flag.knob, value)
    if not flag.switched:
        text = {"true": "false", "false": "true"}.get(text, text)
    return _Occurrence(flag.knob, text, index, end)


def _flag(head: str) -> _Flag | None:
    """The knob that a word means, as argparse finds it: by its name or by an unambiguous beginning of it."""
    name = _canonical(head)
    if name in _FLAGS:
        return _FLAGS[name]
    if not name.startswith("--") or len(name) < _SHORTEST_ABBREVIATION:
        return None
    meant = [flag for full, flag in _FLAGS.items() if full.startswith(name)]
    return meant[0] if len(meant) == 1 else None


def _canonical(head: str) -> str:
    return head.replace("_", "-") if head.startswith("--") else head


def _is_flag(word: str) -> bool:
    return word.startswith("-") and len(word) > 1 and " " not in word and not _NUMBER.fullmatch(word)


def _end_of_flags(arguments: Sequence[str]) -> int:
    """Where a bare `--` ends the flags; the number of words without one."""
    return arguments.index(END_OF_FLAGS) if END_OF_FLAGS in arguments else len(arguments)


def _normal(knob: Knob, text: str) -> str:
    """Canonical text, so that 32k and 32000 are one value. What cannot be parsed is left for parse_values to refuse."""
    try:
        return value_text(parse_value(knob.name, text))
    except KnobError:
        return text


def _rewritten(words: Sequence[str], occurrence: _Occurrence, parameters: Mapping[KnobName, str]) -> list[str]:
    """The user's words with another value in them."""
    knob = occurrence.knob
    text = parameters[knob.name]
    if occurrence.text == _normal(knob, text):
        return list(words)
    if knob.kind is Kind.SWITCH or parse_value(knob.name, text) == knob.absent_value:
        return _written(knob, text)
    head, equals, _ = words[0].partition("=")
    return [f"{head}={text}"] if equals else [head, text]


def _written(knob: Knob, text: str) -> list[str]:
    value = parse_value(knob.name, text)
    if value == knob.absent_value:
        return []
    if knob.kind is Kind.SWITCH:
        return [knob.flag] if value is True else ["--no-" + knob.flag[2:]]
    return [knob.flag, text]
