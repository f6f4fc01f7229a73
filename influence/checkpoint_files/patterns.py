"""Regular expressions of strangers, matched in time linear in the text.

PEFT lets `target_modules` and the keys of `rank_pattern` be regular expressions, and Python's engine can take years
over one. Here the expression becomes a machine without backtracking: at most MAX_STATES steps per character, and as
many for each look ahead, which trainers use to leave parts of a model out. Looks behind, back references and flags
are refused.
"""

import re
import warnings
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from influence.errors import AdapterConfigRefused

# Not in the types of the standard library, except where another package brings them.
sre: Any = import_module("re._constants")
_parser: Any = import_module("re._parser")

MAX_PATTERN_CHARACTERS = 2000
MAX_STATES = 4000
#: Steps one expression may take over all the names it is asked about: seconds, where an honest one takes milliseconds.
MAX_STEPS = 10_000_000
_MAX_NAME_CHARACTERS = 512
_AHEAD = 1

#: A state is (test, targets): a test on the character is taken with it, a test on the place without.
_CharacterTest = Callable[[str], bool]
_PlaceTest = Callable[[str, int], bool]

_CATEGORIES: dict[Any, _CharacterTest] = {
    sre.CATEGORY_DIGIT: str.isdecimal,
    sre.CATEGORY_NOT_DIGIT: lambda character: not character.isdecimal(),
    sre.CATEGORY_WORD: lambda character: character.isalnum() or character == "_",
    sre.CATEGORY_NOT_WORD: lambda character: not (character.isalnum() or character == "_"),
    sre.CATEGORY_SPACE: str.isspace,
    sre.CATEGORY_NOT_SPACE: lambda character: not character.isspace(),
}


def _at_word_edge(text: str, place: int) -> bool:
    is_word = _CATEGORIES[sre.CATEGORY_WORD]
    return (place > 0 and is_word(text[place - 1])) != (place < len(text) and is_word(text[place]))


_PLACES: dict[Any, _PlaceTest] = {
    sre.AT_BEGINNING: lambda text, place: place == 0,
    sre.AT_BEGINNING_STRING: lambda text, place: place == 0,
    sre.AT_END: lambda text, place: place == len(text),
    sre.AT_END_STRING: lambda text, place: place == len(text),
    sre.AT_BOUNDARY: _at_word_edge,
    sre.AT_NON_BOUNDARY: lambda text, place: not _at_word_edge(text, place),
}


class SafePattern:
    """A regular expression for whole module names. Raises AdapterConfigRefused naming `field`."""

    def __init__(self, pattern: str, field: str, *, max_steps: int = MAX_STEPS) -> None:
        self._field = field
        self._max_steps = max_steps
        self._reads: dict[int, tuple[_CharacterTest, int]] = {}
        self._jumps: dict[int, list[tuple[_PlaceTest | None, int]]] = {}
        self._states = self._steps = 0
        self._start = self._new_state()
        try:
            self._end = self._build(_parse(pattern, field), self._start)
        except RecursionError as error:
            raise _refusal(field, "it is nested too deeply") from error

    def matches(self, name: str) -> bool:
        """Whether all of `name` matches."""
        if len(name) > _MAX_NAME_CHARACTERS:
            return False
        states = self._spread({self._start}, name, 0)
        for place in range(len(name)):
            states = self._step(states, name, place)
        return self._end in states

    def _step(self, states: set[int], text: str, place: int) -> set[int]:
        """The states behind the character at `place`."""
        self._steps += len(states)
        if self._steps > self._max_steps:
            raise _refusal(self._field, "it takes too long")
        read = (self._reads[state] for state in states if state in self._reads)
        return self._spread({after for test, after in read if test(text[place])}, text, place + 1)

    def _begins(self, start: int, end: int, text: str, place: int) -> bool:
        """Whether what lies between two states matches from `place` on, up to anywhere."""
        states = self._spread({start}, text, place)
        while end not in states and states and place < len(text):
            states = self._step(states, text, place)
            place += 1
        return end in states

    def _spread(self, states: set[int], text: str, place: int) -> set[int]:
        """The states that can be reached without taking a character."""
        waiting = list(states)
        while waiting:
            for test, after in self._jumps.get(waiting.pop(), ()):
                if after not in states and (test is None or test(text, place)):
                    states.add(after)
                    waiting.append(after)
        return states

    def _new_state(self) -> int:
        self._states += 1
        if self._states > MAX_STATES:
            raise _refusal(self._field, "it is too large")
        return self._states - 1

    def _jump(self, state: int, after: int, test: _PlaceTest | None = None) -> None:
        self._jumps.setdefault(state, []).append((test, after))

    def _step_from(self, state: int) -> int:
        """A state of its own for each repetition, so that repeating nothing a billion times is counted, too."""
        after = self._new_state()
        self._jump(state, after)
        return after

    def _build(self, nodes: Iterable[tuple[Any, Any]], state: int) -> int:
        for node in nodes:
            state = self._build_node(node, state)
        return state

    def _build_node(self, node: tuple[Any, Any], state: int) -> int:
        kind, argument = node
        if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            return self._build_repeat(argument, state)
        if kind == sre.SUBPATTERN:
            _, added, removed, inner = argument
            if added or removed:
                raise _refusal(self._field, "it sets flags")
            return self._build(inner, state)
        after = self._new_state()
        if kind in (sre.ASSERT, sre.ASSERT_NOT) and argument[0] == _AHEAD:
            start, is_wanted = self._new_state(), kind == sre.ASSERT
            end = self._build(argument[1], start)
            self._jump(state, after, lambda text, place: self._begins(start, end, text, place) is is_wanted)
        elif kind == sre.BRANCH:
            for branch in argument[1]:
                self._jump(self._build(branch, state), after)
        elif kind == sre.AT and argument in _PLACES:
            self._jump(state, after, _PLACES[argument])
        else:
            entry = self._new_state()
            self._jump(state, entry)
            self._reads[entry] = (_character_test(node, self._field), after)
        return after

    def _build_repeat(self, argument: tuple[int, Any, Any], state: int) -> int:
        least, most, inner = argument
        for _ in range(least):
            state = self._build(inner, self._step_from(state))
        end = self._new_state()
        if most == sre.MAXREPEAT:
            loop = self._new_state()
            self._jump(state, loop)
            self._jump(self._build(inner, loop), loop)
            self._jump(loop, end)
            return end
        for _ in range(most - least):
            self._jump(state, end)
            state = self._build(inner, self._step_from(state))
        self._jump(state, end)
        return end


def _parse(pattern: str, field: str) -> Any:
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise _refusal(field, f"it is longer than {MAX_PATTERN_CHARACTERS} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = _parser.parse(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise _refusal(field, f"it cannot be read ({str(error)[:80]})") from error
    if parsed.state.flags & ~re.UNICODE:
        raise _refusal(field, "it sets flags")
    return parsed


def _character_test(node: tuple[Any, Any], field: str) -> _CharacterTest:
    kind, argument = node
    if kind == sre.LITERAL:
        return chr(argument).__eq__
    if kind == sre.NOT_LITERAL:
        return chr(argument).__ne__
    if kind == sre.ANY:
        return lambda character: character != "\n"
    if kind == sre.CATEGORY:
        return _CATEGORIES[argument]
    if kind == sre.RANGE:
        first, last = argument
        return lambda character: first <= ord(character) <= last
    if kind == sre.IN:
        wanted = argument[0][0] != sre.NEGATE
        tests = [_character_test(item, field) for item in argument if item[0] != sre.NEGATE]
        return lambda character: any(test(character) for test in tests) is wanted
    raise _refusal(field, f"it uses {str(kind).lower()}")


def _refusal(field: str, reason: str) -> AdapterConfigRefused:
    return AdapterConfigRefused(
        f"The regular expression in '{field}' is refused: {reason}.",
        hint=f"Give '{field}' as plain module names, or as a simpler expression without looks behind.",
        extra={"field": field},
    )
