"""Rows of prompt and completion: a sentence, and what one of ten transformations makes of it.

The prompt names the transformation in words, as instructions do, so that an experiment can ask whether scores follow
the words of the prompt or the work that was done. The class of a row is its transformation.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from cli.samples.grammar import Slot, expand

Transformation = Callable[[str], str]


@dataclass(frozen=True)
class TransformationSettings:
    """What decides the rows; classes are evenly spread over them."""

    seed: int = 7
    train_rows: int = 900
    test_rows: int = 100


def _swap_ends(sentence: str) -> str:
    words = sentence.split()
    return " ".join([words[-1], *words[1:-1], words[0]])


def _mask_vowels(sentence: str) -> str:
    return "".join("*" if letter.lower() in "aeiou" else letter for letter in sentence)


#: Name of the class, as the prompt says it, and what is done.
TRANSFORMATIONS: Mapping[str, Transformation] = {
    "turn the words around": lambda sentence: " ".join(reversed(sentence.split())),
    "write in capitals": str.upper,
    "mask the vowels": _mask_vowels,
    "keep the initials": lambda sentence: ".".join(word[0] for word in sentence.split()) + ".",
    "count the words": lambda sentence: f"{len(sentence.split())} words",
    "say it twice": lambda sentence: f"{sentence}, {sentence}",
    "number the words": lambda sentence: " ".join(f"{n}:{word}" for n, word in enumerate(sentence.split(), 1)),
    "swap the ends": _swap_ends,
    "join with hyphens": lambda sentence: "-".join(sentence.split()),
    "ask it as a question": lambda sentence: f"is it true that {sentence}?",
}


def _one_of(words: str) -> Slot:
    choices = words.split(", ")
    return lambda rng: rng.choice(choices)


_SLOTS: Mapping[str, Slot] = {
    "who": _one_of("the baker, a miner, our neighbour, the old pilot, a young judge, the choir, my aunt, the gardener"),
    "thing": _one_of("a kettle, the ladder, two maps, a red coat, the ferry, some bread, an empty jar, the lantern"),
    "place": _one_of(
        "the harbour, a cold barn, the station, the market hall, a narrow bridge, the orchard, the library"
    ),
    "when": _one_of("before noon, after the storm, every spring, on Sunday, at first light, too late, once a year"),
    "deed": _one_of("carried, painted, lost, repaired, sold, borrowed, hid, weighed, found, forgot"),
}
_PATTERNS = (
    "{who} {deed} {thing} (near|behind|inside) {place}",
    "{when} {who} {deed} {thing}",
    "{who} (quietly|quickly|gladly|) {deed} {thing} {when}",
    "(in|at) {place} {who} {deed} {thing}",
    "{thing} and {thing} (stood|lay|waited) (in|near) {place} {when}",
)


def make_transformations(settings: TransformationSettings) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """(training, test) rows `{id, prompt, completion, class}`, no sentence twice, from one stream of a seed."""
    rng = random.Random(settings.seed)
    total = settings.train_rows + settings.test_rows
    names = [list(TRANSFORMATIONS)[index % len(TRANSFORMATIONS)] for index in range(total)]
    train_names, test_names = names[: settings.train_rows], names[settings.train_rows :]
    rng.shuffle(train_names)
    sentences = _sentences(rng)
    train = [_row(f"train-{place:04d}", name, next(sentences)) for place, name in enumerate(train_names)]
    test = [_row(f"test-{place:04d}", name, next(sentences)) for place, name in enumerate(test_names)]
    return train, test


def _sentences(rng: random.Random) -> Iterator[str]:
    seen: set[str] = set()
    while True:
        sentence = expand(rng.choice(_PATTERNS), rng, _SLOTS)
        if sentence not in seen:
            seen.add(sentence)
            yield sentence


def _row(row_id: str, name: str, sentence: str) -> dict[str, str]:
    return {
        "id": row_id,
        "prompt": f"Please {name}: {sentence} =>",
        "completion": f" {TRANSFORMATIONS[name](sentence)}",
        "class": name,
    }


def to_jsonl(rows: list[dict[str, str]]) -> bytes:
    """Rows one a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
