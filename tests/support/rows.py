"""Rows for tiny checkpoints."""

import random
from typing import Any

from support.tiny import LABELS, WORDS


def make_ticket_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Classification rows of varied length."""
    chance = random.Random(seed)
    return [
        {
            "id": f"t{number}",
            "text": " ".join(chance.choices(WORDS, k=chance.randint(2, 14))),
            "label": chance.choice(LABELS),
        }
        for number in range(count)
    ]


def make_completion_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Prompt and completion rows."""
    chance = random.Random(seed)
    return [
        {
            "id": f"c{number}",
            "prompt": " ".join(chance.choices(WORDS, k=chance.randint(2, 8))),
            "completion": " ".join(chance.choices(WORDS, k=chance.randint(1, 6))),
        }
        for number in range(count)
    ]
