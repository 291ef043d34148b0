"""A shell script's words, with their places in it: what `sh -c` would start, as far as that can be told by reading.

Quotes, escapes, continued lines, comments, redirections and `NAME=value` are understood. Nothing is ever expanded: a
word that the shell would fill in (`$MODEL`, `$(...)`, globs) keeps its spelling.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

_BLANK = " \t"
_OPERATORS = ";&|()\n"
_EXPANDED = set("$`*?[{~")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_KEYWORDS = {"then", "do", "else", "{", "!", "time"}
_ARRAYS = re.compile(r"\$(?:[@*]|\{[^}]*\[[@*]\])")
_ESCAPED_IN_DOUBLE = '$`"\\'


class ScriptError(ValueError):
    """A script that cannot be read for certain; the message completes "its script ..."."""


@dataclass(frozen=True, slots=True)
class Word:
    """The script's characters `start` to `end` (exclusive).

    `text` is what the program gets; where the shell `expands` it, it is the word as written. `several` says that
    this may become more than one word, or none.
    """

    start: int
    end: int
    text: str
    expands: bool = False
    several: bool = False


@dataclass(slots=True)
class Command:
    """One simple command; `redirected_at` is where its first redirection begins."""

    words: list[Word] = field(default_factory=list[Word])
    redirected_at: int | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """Characters `start` to `end` (exclusive) of a text become `text`."""

    start: int
    end: int
    text: str


def edited(text: str, edits: Sequence[Edit]) -> str:
    """The text with all edits, which must not overlap; those at one place keep their order."""
    parts: list[str] = []
    at = 0
    for edit in sorted(edits, key=lambda one: (one.start, one.end)):
        if edit.start < at:
            raise ValueError(f"edits overlap at {edit.start}")
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*parts, text[at:]])


def commands(script: str) -> list[Command]:
    """All simple commands, in their order; of compound ones their parts.

    Raises:
        ScriptError: a quote is not closed, or the script has here-documents or process substitutions.

    """
    return _Reader(script).commands()


def program_words(command: Command) -> list[Word]:
    """Without what stands before the program's name: keywords and assignments."""
    words = list(command.words)
    while words and (words[0].text in _KEYWORDS or _ASSIGNMENT.match(words[0].text)):
        words.pop(0)
    return words


def is_array(word: Word, script: str) -> bool:
    """Whether even in quotes this stands for any number of words: "$@" and "${NAME[@]}"."""
    return word.expands and _ARRAYS.search(script[word.start : word.end]) is not None


def word_edits(script: str, before: int, words: Sequence[Word], texts: Sequence[str]) -> list[Edit]:
    """What to change so that `words`, which follow on the character `before`, become `texts`.

    Words that stay keep their spelling, and a changed one its quotes. A new flag goes on a line of its own where the
    flags before it do.
    """
    edits: list[Edit] = []
    ends = [before, *(word.end for word in words)]
    alike = SequenceMatcher(None, [word.text for word in words], list(texts), autojunk=False)
    for tag, first, last, new_first, new_last in alike.get_opcodes():
        if tag == "equal":
            continue
        pairs = min(last - first, new_last - new_first)
        for offset in range(pairs):
            word = words[first + offset]
            raw = script[word.start : word.end]
            edits.append(Edit(word.start, word.end, _quoted_alike(raw, texts[new_first + offset])))
        if first + pairs < last:
            edits.append(Edit(ends[first + pairs], ends[last], ""))
        added = texts[new_first + pairs : new_last]
        if added:
            place = ends[last]
            text = "".join(_gap(script, ends, words, last, one) + shlex.quote(one) for one in added)
            edits.append(Edit(place, place, text))
    return edits


def _gap(script: str, ends: Sequence[int], words: Sequence[Word], place: int, text: str) -> str:
    """What stands before the nearest flag that comes earlier; a value stays on its flag's line."""
    if not text.startswith("-"):
        return " "
    for index in range(place - 1, -1, -1):
        if words[index].text.startswith("-"):
            gap = script[ends[index] : words[index].start]
            return gap if gap and not gap.strip(_BLANK + "\\\n") else " "
    return " "


def _quoted_alike(raw: str, text: str) -> str:
    """In the quotes of the word that it takes the place of, where these do for it."""
    head, equals, value = raw.partition("=")
    new_head, new_equals, new_value = text.partition("=")
    if equals and new_equals and head == new_head:
        return f"{head}={_quoted_alike(value, new_value)}"
    quote = raw[0] if len(raw) > 1 and raw[0] == raw[-1] and raw[0] in "'\"" else ""
    if quote and shlex.quote(text) == text:
        return f"{quote}{text}{quote}"
    return shlex.quote(text)


class _Reader:
    """Goes through a script once, character by character."""

    def __init__(self, script: str) -> None:
        self.script = script
        self.at = 0

    def commands(self) -> list[Command]:
        found = [Command()]
        for token in self._tokens():
            if isinstance(token, Word):
                found[-1].words.append(token)
            elif token is None:
                found.append(Command())
            elif found[-1].redirected_at is None:
                found[-1].redirected_at = token
        return [command for command in found if command.words]

    def _tokens(self) -> Iterator[Word | int | None]:
        """Words; None where a command ends; the place of a redirection."""
        while self.at < len(self.script):
            character = self.script[self.at]
            if character in _BLANK:
                self.at += 1
            elif self.script.startswith("\\\n", self.at):
                self.at += 2
            elif character == "#":
                end = self.script.find("\n", self.at)
                self.at = len(self.script) if end < 0 else end
            elif character in "<>" or self.script.startswith("&>", self.at):
                yield self._redirection(self.at)
            elif character in _OPERATORS:
                self.at += 1
                yield None
            else:
                word = self._word()
                follows = self.script[self.at : self.at + 1]
                yield self._redirection(word.start) if word.text.isdecimal() and follows in {"<", ">"} else word

    def _redirection(self, start: int) -> int:
        operator = re.compile(r"&>>?|<<<|<<|<>|<&|<|>>|>&|>\||>").match(self.script, self.at)
        assert operator is not None, "called at one"
        if operator[0] == "<<":
            raise ScriptError("has a here-document (<<), whose text may be anything; put it into a file")
        self.at = operator.end()
        while self.script[self.at : self.at + 1] in {" ", "\t"}:
            self.at += 1
        if self.script[self.at : self.at + 2] in {"<(", ">("}:
            raise ScriptError("has a process substitution; use a pipe")
        if self.at < len(self.script) and self.script[self.at] not in _OPERATORS:
            self._word()
        return start

    def _word(self) -> Word:
        start = self.at
        text: list[str] = []
        expands = several = False
        while self.at < len(self.script):
            character = self.script[self.at]
            if character in _BLANK + _OPERATORS + "<>":
                break
            if character == "'":
                text.append(self._single())
            elif character == '"':
                inner, filled_in = self._double()
                text.append(inner)
                expands |= filled_in
            elif character == "\\":
                text.append("" if self.script.startswith("\\\n", self.at) else self.script[self.at + 1 : self.at + 2])
                self.at += 2
            else:
                filled_in = character in _EXPANDED and (character != "~" or self.at == start)
                expands |= filled_in
                several |= filled_in
                text.append(self._unquoted())
        spelling = self.script[start : self.at]
        if spelling in {"{", "[", "[["}:
            expands = several = False
        # A literal $ is told by its spelling as well, so that no text is taken for something that is filled in.
        as_written = expands or bool({"$", "`"} & set("".join(text)))
        return Word(start, self.at, spelling if as_written else "".join(text), expands, several)

    def _single(self) -> str:
        end = self.script.find("'", self.at + 1)
        if end < 0:
            raise ScriptError("has a quote (') that is not closed")
        text = self.script[self.at + 1 : end]
        self.at = end + 1
        return text

    def _double(self) -> tuple[str, bool]:
        self.at += 1
        text: list[str] = []
        expands = False
        while self.at < len(self.script):
            character = self.script[self.at]
            if character == '"':
                self.at += 1
                return "".join(text), expands
            if character == "\\":
                following = self.script[self.at + 1 : self.at + 2]
                if following == "\n":
                    pass
                elif following in _ESCAPED_IN_DOUBLE:
                    text.append(following)
                else:
                    text.append(character + following)
                self.at += 2
            elif character in "$`":
                expands = True
                text.append(self._unquoted())
            else:
                text.append(character)
                self.at += 1
        raise ScriptError('has a quote (") that is not closed')

    def _unquoted(self) -> str:
        """One character, or the whole of $(...), ${...}, $'...' and `...`."""
        start = self.at
        if self.script.startswith("$(", start):
            self._skip_nested("(", ")")
        elif self.script.startswith("${", start):
            self._skip_nested("{", "}")
        elif self.script.startswith("$'", start):
            self.at += 1
            self._single()
        elif self.script[start] == "`":
            end = self.script.find("`", start + 1)
            if end < 0:
                raise ScriptError("has a backquote (`) that is not closed")
            self.at = end + 1
        else:
            self.at += 1
        return self.script[start : self.at]

    def _skip_nested(self, opening: str, closing: str) -> None:
        self.at += 1
        depth = 0
        while self.at < len(self.script):
            character = self.script[self.at]
            if character == "'":
                self._single()
            elif character == '"':
                self._double()
            elif character == "\\":
                self.at += 2
            else:
                depth += (character == opening) - (character == closing)
                self.at += 1
                if not depth:
                    return
        raise ScriptError(f"has ${opening} without its {closing}")
