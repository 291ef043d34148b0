"""What this machine's studies run on: the model as the command says, the GPU as its driver says."""

import threading
from collections.abc import Callable, Mapping, Sequence

from sloguard.domain.arguments import split_command
from sloguard.domain.ledger import Setup, model_of
from sloguard.local.command_line import gpus_of
from sloguard.local.nvml import Card, Nvml, card_of, library

PATIENCE_SECONDS = 10.0
"""With a driver that hangs: then the GPU stays unknown, and the starts will tell its memory."""


def setup_of(
    command: Sequence[str], environment: Mapping[str, str], nvml: Callable[[], Nvml | None] = library
) -> Setup:
    """Of a study's command. A simulator uses no GPU: what it stands in for is part of the model's identity."""
    prefix, arguments = split_command(command)
    model = model_of(arguments)
    if any("sloguard" in word for word in prefix):
        return Setup(model=model)
    card = _patiently(lambda: card_of(nvml, environment, gpus_of(arguments)))
    return Setup(model=model) if card is None else Setup(model=model, gpu_name=card.name, gpu_memory_bytes=card.bytes)


def _patiently(ask: Callable[[], Card | None]) -> Card | None:
    """In a thread that ends with the program."""
    answers: list[Card | None] = []
    thread = threading.Thread(target=lambda: answers.append(ask()), name="GPU", daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    return answers[0] if answers else None
