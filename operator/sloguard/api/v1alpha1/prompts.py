"""What prompts consist of, and where they are sent."""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from .base import Model
from .rules import Rule, cluster_only


class PromptFormat(StrEnum):
    """TokenIds: to /v1/completions, exact without a tokenizer. Text: words, likewise. Chat: to /v1/chat/completions."""

    TOKEN_IDS = "TokenIds"
    TEXT = "Text"
    CHAT = "Chat"


def _tokenizer_unused(prompts: "Prompts") -> tuple[object, ...] | None:
    unused = prompts.format is PromptFormat.TOKEN_IDS and prompts.tokenizer_file is not None
    return () if unused else None


class Prompts(Model):
    """Token ids, or text of words that are one token each, or nearly so; the server's own count is what is reported."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.format != 'TokenIds' || !has(self.tokenizerFile)",
            message="tokenizerFile has no effect with format TokenIds; remove it, or set format to Text or Chat",
            broken=_tokenizer_unused,
            path=".tokenizerFile",
        ),
        cluster_only(
            cel="!has(self.tokenizerFile)",
            message="tokenizerFile is for local files; a cluster cannot read it. Remove it: the words that are used "
            "without it are one token in most vocabularies",
            path=".tokenizerFile",
        ),
    )

    format: PromptFormat = PromptFormat.TOKEN_IDS
    tokenizer_file: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="Local files only: the model's tokenizer.json, from which words that are one token are taken.",
    )
