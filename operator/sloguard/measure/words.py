"""Words of which prompts are made that are text: 256 of them, one token each, so that n words are n tokens.

A tokenizer's own file says which words it has as one token; no other part of it is needed. It has them in two forms:
after a space, which it marks (byte-level vocabularies by `\u0120`, others by `\u2581`), and at the beginning of a text.
Without such a file: short English words that the usual vocabularies of 30,000 tokens and more have in both forms. The
beginning-of-text token and a chat's template come on top; so the server's own count of prompt tokens is reported.
"""

import json
from pathlib import Path
from random import Random
from typing import Any, Final, cast

from sloguard.api.v1alpha1 import Workload

from .request import LoadInputError

COUNT = 256
"""A prompt's bytes choose among them."""

SPACE_MARKS = ("\u0120", "\u2581")
LIMIT_BYTES = 256 * 1024 * 1024

_COMMON: Final = """
the of and to in is that it for as with was on be by are this not at from or an have you which one had all we can
her has there been if more when will would who so no she out up said what its about than into them only other time
new some could these two may first then do any my now such like our over man me even most made after also did many
off before must well back years where much your way down should long each just state people too how little good
world make very year still see own work men day get here both life being under three never know same last while us
might great old go come since right came take used few house use place during high again home around small found
part every does got united left number course war until always away fact though water less public put think almost
hand enough far took head yet system set told night end why called going look asked later next city room white
power give form order open light hard group young large social door point field line face half level side voice
free study able name love book best case air news plan force word real local west south north east body area turn
kind early team age child eye job lot money month mother story sure thing type week woman big black call clear
close cold cost cut dark deep drive
"""
COMMON: Final = tuple(_COMMON.split())


def words_of(workload: Workload) -> list[str] | None:
    """The words of the workload's tokenizer, or None where it names none. Raises LoadInputError."""
    path = workload.prompts.tokenizer_file
    return None if path is None else read_words(Path(path))


def read_words(path: Path) -> list[str]:
    """256 words that are one token in a tokenizer.json, always the same ones. Raises LoadInputError."""
    vocabulary = _vocabulary(path)
    known = sorted(word for word in vocabulary if word.isascii() and word.isalpha() and word.islower())
    found = [word for word in known if any(mark + word in vocabulary for mark in SPACE_MARKS)]
    if len(found) < COUNT:
        raise LoadInputError(
            f"{path}: only {len(found)} words of small letters are one token, and {COUNT} are needed; "
            "leave tokenizerFile out, or send prompts as TokenIds"
        )
    return Random(0).sample(found, COUNT)


def _vocabulary(path: Path) -> set[str]:
    """Of a BPE or WordPiece model a mapping from token to id, of a Unigram model a list of tokens with their scores."""
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise LoadInputError(f"{path} has more than {LIMIT_BYTES // 1024**2} MiB; name the model's tokenizer.json")
        tokenizer = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LoadInputError(f"{path} cannot be read: {error.strerror}; check the path") from error
    except (ValueError, RecursionError) as error:
        raise LoadInputError(f"{path} is not JSON ({error}); name the model's tokenizer.json") from None
    model = cast("dict[str, Any]", tokenizer).get("model") if isinstance(tokenizer, dict) else None
    tokens = cast("dict[str, Any]", model).get("vocab") if isinstance(model, dict) else None
    if isinstance(tokens, dict):
        return set(cast("dict[str, object]", tokens))
    if isinstance(tokens, list):
        pairs = [cast("list[Any]", pair) for pair in cast("list[Any]", tokens) if isinstance(pair, list)]
        return {str(pair[0]) for pair in pairs if pair}
    raise LoadInputError(f"{path} has no model.vocab; name the model's tokenizer.json")
