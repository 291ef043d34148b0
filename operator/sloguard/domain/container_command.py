"""A container's command and args: where vLLM's arguments stand in them and how they are written, and back.

Lists of words as well as a shell's script (`sh -c "exec vllm serve MODEL ..."`). What is not changed stays character
for character, and what cannot be read for certain is refused with the reason: a guess could tune the wrong program.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .arguments import ArgumentsError, split_command, tuned
from .knobs import KNOBS
from .shell_script import (
    Edit,
    ScriptError,
    Word,
    commands,
    edited,
    is_array,
    program_words,
    word_edits,
)

_INTERPRETERS = re.compile(r"(ba|da|a|z)?sh|python[0-9.]*|env|tini|dumb-init")
"""As the first word of `args` these are programs that the image's entrypoint starts, not the name of a model."""

_SHELL = re.compile(r"(ba|da|a|z)?sh")
_BEFORE_A_SHELL = re.compile(r"tini|dumb-init|env|catatonit|--|-s|-g|/.*/(tini|dumb-init|env|catatonit)")
_WITH_VALUE = {"-o", "+o", "-O", "+O"}

_A_SCRIPT = re.compile(r"\bvllm\s+serve\b|-m\s+vllm\.entrypoints")

_STARTERS = re.compile(
    r"vllm|sloguard|python[0-9.]*|exec|nohup|env|nice|ionice|numactl|taskset|stdbuf|setsid|command|tini|dumb-init"
    r"|uv|opentelemetry-instrument|ddtrace-run|nsys|gosu|su-exec"
)
"""Programs that may stand before the server. Others, such as echo, only name it."""


@dataclass(frozen=True, slots=True)
class _Script:
    """A shell's script: word `index` of command and args together. vLLM's words follow on its character `begin`."""

    index: int
    text: str
    begin: int
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class ContainerCommand:
    """A container's command and args, taken apart.

    `prefix` starts the server (of a script: the shell); None where the image's entrypoint does and the whole of `args`
    is vLLM's. `arguments` are vLLM's own words. In a script, one that the shell fills in is told as it is written.
    """

    command: tuple[str, ...]
    args: tuple[str, ...]
    prefix: tuple[str, ...] | None
    arguments: tuple[str, ...]
    script: _Script | None = None

    def with_arguments(self, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
        """Command and args with other vLLM arguments, in the shape that their owner gave them.

        `command` changes only if it holds arguments that change.

        Raises:
            ArgumentsError: a new word cannot be put into a script.

        """
        command, args = list(self.command), list(self.args)
        if tuple(arguments) == self.arguments:
            return command, args
        if self.script is not None:
            words = [*command, *args]
            words[self.script.index] = edited(self.script.text, self.script_edits(arguments))
            return words[: len(command)], words[len(command) :]
        words = [*(self.prefix or ()), *arguments]
        if words[: len(command)] == command and (args or len(words) > len(command)):
            return command, words[len(command) :]
        if not args:
            return words, []
        head = len(self.prefix or ())
        return words[:head], words[head:]

    def script_edits(self, arguments: Sequence[str]) -> list[Edit]:
        """What to change in the script's text.

        Raises:
            ArgumentsError: the shell, or Kubernetes, would fill in something of a new word.

        """
        assert self.script is not None, "asked only of a script"
        known = set(self.arguments)
        for word in arguments:
            if word not in known and ("$" in word or "`" in word):
                raise ArgumentsError(f"{word!r} cannot be written into a shell's script; use a value without $ and `")
        return word_edits(self.script.text, self.script.begin, self.script.words, arguments)


def read_command(command: Sequence[str], args: Sequence[str]) -> ContainerCommand:
    """Where vLLM's arguments begin, and how they are written.

    Raises:
        ArgumentsError: it cannot be told.

    """
    words = [*command, *args]
    script_index = _script_index(words)
    if script_index is not None:
        return _in_script(command, args, script_index)
    if command or (args and _INTERPRETERS.fullmatch(_program(args[0]))):
        prefix, arguments = split_command(words)
        return ContainerCommand(tuple(command), tuple(args), tuple(prefix), tuple(arguments))
    return _entrypoint_arguments(args)


def is_explicit(read: ContainerCommand) -> bool:
    """Whether the words themselves name a vLLM server, and not only the image."""
    return read.prefix is not None


def _entrypoint_arguments(args: Sequence[str]) -> ContainerCommand:
    """The image's entrypoint may leave `vllm serve` to the arguments; else all of them are vLLM's."""
    for word in args:
        if _A_SCRIPT.search(word):
            raise ArgumentsError(
                "args hold a script, and command does not start a shell for it; write command and args together, such "
                "as command: [sh, -c]"
            )
    try:
        prefix, arguments = split_command(args)
    except ArgumentsError:
        return ContainerCommand((), tuple(args), None, tuple(args))
    return ContainerCommand((), tuple(args), tuple(prefix), tuple(arguments))


def _script_index(words: Sequence[str]) -> int | None:
    """Which word is a shell's script; None where no shell is started with one.

    Raises:
        ArgumentsError: there is a shell, and what it does cannot be told.

    """
    shell = 0
    while shell < len(words) and _BEFORE_A_SHELL.fullmatch(words[shell]):
        shell += 1
    if shell >= len(words) or not _SHELL.fullmatch(_program(words[shell])):
        return None
    index, has_script = shell + 1, False
    while index < len(words) and words[index][:1] in {"-", "+"} and words[index] != "--":
        option = words[index]
        has_script |= not option.startswith("--") and "c" in option[1:]
        index += 2 if option in _WITH_VALUE or (not option.startswith("--") and option[-1:] == "o") else 1
    if index < len(words) and words[index] == "--":
        index += 1
    if not has_script or index >= len(words):
        return None
    if index + 1 < len(words):
        raise ArgumentsError(
            f"the words after the shell's script ({words[index + 1]} ...) are its $0, $1 and so on, not vLLM's "
            "arguments; write them into the script"
        )
    return index


def _in_script(command: Sequence[str], args: Sequence[str], index: int) -> ContainerCommand:
    words = [*command, *args]
    script = words[index]
    try:
        begin, found = _server_in(script)
        _check_for_certainty(script, found)
    except ScriptError as error:
        raise ArgumentsError(
            f"the server is started through a shell, and its script {error}; or write command and args as lists, such "
            "as [vllm, serve, MODEL, --max-num-seqs, '64']"
        ) from error
    arguments = tuple(word.text for word in found)
    return ContainerCommand(
        tuple(command), tuple(args), tuple(words[:index]), arguments, _Script(index, script, begin, found)
    )


def _server_in(script: str) -> tuple[int, tuple[Word, ...]]:
    """Where vLLM's arguments begin in the script, and their words."""
    servers: list[tuple[int, tuple[Word, ...]]] = []
    for command in commands(script):
        words = program_words(command)
        if not words or not _STARTERS.fullmatch(_program(words[0].text)):
            continue
        try:
            prefix, arguments = split_command([word.text for word in words])
        except ArgumentsError:
            continue
        own = tuple(words[len(prefix) :])
        if command.redirected_at is not None and arguments and own[-1].end > command.redirected_at:
            raise ScriptError("has a redirection before vLLM's last argument; put it at the end")
        servers.append((words[len(prefix) - 1].end, own))
    if not servers:
        raise ScriptError(
            "holds no vLLM server that can be found; it should hold a plain 'vllm serve MODEL ...' or "
            "'python -m vllm.entrypoints.openai.api_server ...', not inside quotes, eval or a function of another file"
        )
    if len(servers) > 1:
        raise ScriptError(f"starts vLLM in {len(servers)} places; leave one")
    return servers[0]


def _check_for_certainty(script: str, words: tuple[Word, ...]) -> None:
    """What the shell fills in may be a value, and must not be a setting, or flags that nobody sees here."""
    for index, word in enumerate(words):
        is_value = index == 0 or words[index - 1].text.startswith("-")
        spelling = script[word.start : word.end]
        if is_array(word, script):
            raise ScriptError(f"passes {spelling}, which may hold any flags; write them out in its place")
        if word.several and not is_value and not spelling.startswith("-"):
            raise ScriptError(
                f"passes {spelling}, which may hold flags that cannot be seen here; write them out in its place, or "
                "put it in double quotes if it is one word"
            )
    expanding = {part for word in words if word.expands for part in (word.text, word.text.partition("=")[2])}
    for name, text in tuned([word.text for word in words]).items():
        if text in expanding:
            raise ScriptError(
                f"gives {KNOBS[name].flag} as {text}, which is known only when it runs; write the value itself"
            )


def _program(word: str) -> str:
    return word.rsplit("/", 1)[-1]
