"""Rows for tiny checkpoints."""

import random
from typing import Any

from support.tiny import LABELS, WORDS


def make_ticket_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Classification rows of varied length."""
    rng = random.Random(seed)
    return [
        {
            "id": f"t{number}",
            "text": " ".join(rng.choices(WORDS, k=rng.randint(2, 14))),
            "label": rng.choice(LABELS),
        }
        for number in range(count)
    ]


def make_completion_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Prompt and completion rows."""
    rng = random.Random(seed)
    return [
        {
            "id": f"c{number}",
            "prompt": " ".join(rng.choices(WORDS, k=rng.randint(2, 8))),
            "completion": " ".join(rng.choices(WORDS, k=rng.randint(1, 6))),
        }
        for number in range(count)
    ]
