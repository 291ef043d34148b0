"""Text and tokens: a tokenizer of the simulator's own, and words to answer with.

A word is one token for every six characters, so that `n` short words are `n` tokens. Answers are words without meaning.
"""

from __future__ import annotations

import zlib

CHARACTERS_PER_TOKEN = 6
_WORDS = (
    " the", " a", " model", " of", " load", " and", " time", " to", " first", " token", " is", " in", " queue", " with",
    " batch", " that", " cache", " for", " block", " on", " step", " at", " graph", " by", " prefix", " as", " limit",
    " or", " rate", " it", " server", " not",
)  # fmt: skip


def tokenize(text: str) -> list[int]:
    """Token ids of a text; equal pieces get equal ids, so that prefixes can be shared."""
    tokens: list[int] = []
    for piece in text.split():
        code = zlib.crc32(piece.encode())
        tokens.append(code % 30000)
        tokens += [(code + index) % 30000 for index in range(1, -(-len(piece) // CHARACTERS_PER_TOKEN))]
    return tokens


def detokenize(token_ids: list[int]) -> str:
    """Words for token ids: not what they came from."""
    return "".join(_WORDS[token % len(_WORDS)] for token in token_ids)


def word(position: int) -> str:
    """The answer's token at that position."""
    return _WORDS[(position * 7) % len(_WORDS)]


def words(start: int, number: int) -> str:
    return "".join(_WORDS[(position * 7) % len(_WORDS)] for position in range(start, start + number))
