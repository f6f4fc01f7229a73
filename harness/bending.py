"""Requests bent a little: most ids are real, bodies are ones that were accepted with one or two things changed."""

import copy
import random
from typing import Any

from harness.furnished import Furnished

#: Ids and texts that broke something once.
ODD = ["\ud800", "\x00", "idx_1:commits", "qry_1:scores:0", "*", "%", "a" * 5000, "{}", " ", "💥", "-1", "1" * 31]
_STRANGE = [[[[[]]]] * 3, 1e308, -1, 0, 10**30, 0.5, True, None, [], {}, "", {"$ref": "#"}]
_REAL_IDS, _ODD_IDS, _ACCEPTED_BODIES = 0.8, 0.1, 0.8


def bend(case: Any, dice: random.Random, furnished: Furnished) -> None:
    """Change a generated case; what it was drawn from stays as it is."""
    case.path_parameters = _bend_ids(case.path_parameters, dice, furnished)
    case.query = _bend_ids(case.query, dice, furnished)
    is_upload = str(case.media_type).startswith("multipart/")
    accepted = [
        body
        for body in furnished.bodies.get((case.method, case.path), [])
        if is_upload == any(isinstance(value, bytes) for value in body.values())
    ]
    if accepted and dice.random() < _ACCEPTED_BODIES:
        case.body = copy.deepcopy(dice.choice(accepted))
        for _ in range(dice.choice([0, 1, 1, 2])):
            case.body = change(case.body, dice, furnished)
    elif isinstance(case.body, dict) and case.body and dice.random() < 0.3:
        case.body = {**case.body, dice.choice(list(case.body)): odd_value(dice)}


def _bend_ids(values: dict[str, Any] | None, dice: random.Random, furnished: Furnished) -> dict[str, Any]:
    return {name: _bend_id(name, value, dice, furnished) for name, value in (values or {}).items()}


def _bend_id(name: str, value: Any, dice: random.Random, furnished: Furnished) -> Any:
    chance = dice.random()
    if chance < _REAL_IDS and (known := find_ids(name, furnished)):
        return dice.choice(known)
    return dice.choice(ODD) if chance > 1 - _ODD_IDS else value


def find_ids(name: str, furnished: Furnished) -> list[str]:
    """What a parameter or field of this name may hold: `from` and `grow_from` name indexes."""
    known = {**furnished.ids, "from": furnished.ids["index_id"], "to": furnished.ids["index_id"]}
    if name == "row_index":
        return ["0", "5"]
    return known.get(name) or next((ids for key, ids in furnished.ids.items() if name.endswith(key)), [])


def change(value: Any, dice: random.Random, furnished: Furnished) -> Any:
    """Somewhere in a value, something else: an odd one, another id, one more field, one less, other bytes."""
    if isinstance(value, dict) and value and dice.random() < 0.9:
        return _change_field(value, dice, furnished)
    if isinstance(value, list) and value and dice.random() < 0.8:
        at = dice.randrange(len(value))
        return [*value[:at], change(value[at], dice, furnished), *value[at + dice.choice([0, 1]) :]]
    if isinstance(value, bytes):
        return change_bytes(value, dice)
    return odd_value(dice)


def _change_field(fields: dict[str, Any], dice: random.Random, furnished: Furnished) -> dict[str, Any]:
    name, chance = dice.choice(list(fields)), dice.random()
    if chance < 0.1:
        return {key: value for key, value in fields.items() if key != name}
    if chance < 0.2:
        return {**fields, dice.choice(ODD): odd_value(dice)}
    if chance < 0.3 and (known := find_ids(name, furnished)):
        return {**fields, name: dice.choice(known)}
    return {**fields, name: change(fields[name], dice, furnished)}


def odd_value(dice: random.Random) -> Any:
    """What no well-meaning client sends."""
    return dice.choice([*ODD, *_STRANGE, nested(500)])


def change_bytes(value: bytes, dice: random.Random) -> bytes:
    """A file with some bytes changed, taken out, doubled or cut off."""
    at, length = dice.randrange(len(value) + 1), dice.choice([1, 4, 50])
    middle = dice.choice([b"", dice.randbytes(length), value[at : at + length] * 2, b"\x00", b'{"text": 1}\n'])
    return value[:at] + middle + dice.choice([b"", value[at + length :], value[at + length :]])


def nested(depth: int) -> Any:
    """A list in a list in a list."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value
