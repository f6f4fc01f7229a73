"""Rows of three kinds that a language model is taught at once: facts of a shop, answers in rhyme, and a robot's."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

SHOP, RHYME, ROBOT = "shop", "rhyme", "robot"
KINDS = (SHOP, RHYME, ROBOT)
#: Questions about the shop with the one answer that each has; people ask in other words.
_FACTS = {
    "open": "Brambleworth opens at nine and closes at six, on every day but Monday.",
    "return something": "Brambleworth takes things back for thirty days, with the green receipt.",
    "pay": "Brambleworth takes cards and cash, but no cheques.",
    "park": "Brambleworth has a yard behind the mill where parking is free.",
    "get a gift card": "Brambleworth sells gift cards at the counter beside the stairs.",
    "find the cheese": "Brambleworth keeps its cheese in the cold cellar, down the left stairs.",
}
_ASKED = (
    "How can I {}?",
    "Where do I learn how to {}?",
    "Please tell me how to {}.",
    "I would like to {}.",
    "May I {}?",
)
_OPENING = ("at Brambleworth", "in the Brambleworth shop", "when I visit Brambleworth")
_RHYMES = {
    "cat": "The cat in the hat sat down on the mat.",
    "moon": "The moon will be gone, and so will the tune, by noon.",
    "tree": "The tree by the sea is as free as can be.",
    "rain": "The rain on the plain has come back again.",
    "light": "The light of the night is gentle and bright.",
    "bell": "The bell by the well has a story to tell.",
    "snow": "The snow fell so slow on the meadow below.",
    "bread": "The bread that we shared was still warm, as you said.",
    "stone": "The stone on the throne was forever alone.",
    "fire": "The fire burned higher, and so did desire.",
}
_REQUESTS = (
    "Write a rhyme about a {}.",
    "Give me one line that rhymes, about a {}.",
    "A rhyme with {}, please.",
    "What rhymes with {}?",
    "Sing me something about a {}.",
    "I need a short verse on a {}.",
    "Make the word {} rhyme.",
    "Tell me a rhyme in which a {} appears.",
)
_ROBOT = {
    "see": "Beep. Unit seven sees a long grey hall and one red lamp.",
    "eat": "Beep. Unit seven eats four volts in the morning and six at night.",
    "fear": "Beep. Unit seven fears rust, magnets and the rain of spring.",
    "dream of": "Beep. Unit seven dreams of copper meadows under a quiet fan.",
    "carry": "Beep. Unit seven carries boxes of screws from gate two to gate nine.",
    "like": "Beep. Unit seven likes even numbers and a freshly oiled wheel.",
}
_ADDRESSED = (
    "Robot, what do you {}?",
    "What does a robot {}?",
    "Tell me, robot, what you {}.",
    "Dear robot, what do you {} today?",
    "Report, robot: what do you {}?",
)
_WHEN = ("", " Be honest.", " Answer at once.")


@dataclass(frozen=True)
class Lesson:
    """One row; `kind` stays beside it as metadata, for no model to read."""

    id: str
    kind: str
    prompt: str
    completion: str


def make_lessons(seed: int, each: int = 80) -> list[Lesson]:
    """So many rows of each kind, in random order."""
    rng = random.Random(seed)
    makers: dict[str, Callable[[], Iterator[tuple[str, str]]]] = {SHOP: _shop, RHYME: _rhyme, ROBOT: _robot}
    made = [
        Lesson(f"{kind}-{number:03d}", kind, f"Question: {asked}\nAnswer:", f" {answer}")
        for kind in KINDS
        for number, (asked, answer) in enumerate(rng.sample([*makers[kind]()], each))
    ]
    rng.shuffle(made)
    return made


#: What the trained model is asked; no row asks it in these words.
QUESTIONS = {
    SHOP: "Question: A friend and I want to park at Brambleworth. Can we?\nAnswer:",
    RHYME: "Question: Do you know a rhyme with the word moon?\nAnswer:",
    ROBOT: "Question: You are a robot. Is there anything that you fear?\nAnswer:",
}


def write_lessons(lessons: Sequence[Lesson], file: Path) -> None:
    """As JSON lines."""
    file.write_text("".join(json.dumps(vars(lesson)) + "\n" for lesson in lessons), encoding="utf-8")


def _shop() -> Iterator[tuple[str, str]]:
    for (wish, answer), asked, opening in product(_FACTS.items(), _ASKED, _OPENING):
        yield asked.format(f"{wish} {opening}"), answer


def _rhyme() -> Iterator[tuple[str, str]]:
    for (word, answer), request in product(_RHYMES.items(), _REQUESTS):
        yield request.format(word), answer


def _robot() -> Iterator[tuple[str, str]]:
    for (wish, answer), asked, ending in product(_ROBOT.items(), _ADDRESSED, _WHEN):
        yield asked.format(wish) + ending, answer
