"""Which rows, and in which order: the options of every command that looks at stored rows."""

import json
import re
from inspect import signature
from typing import Annotated, Any

import typer

from cli.options.fields import Options
from cli.options.parsing import given
from influence.contracts.common import Json
from influence.errors import InvalidRequest

_OPS = {"=": "eq", "!=": "ne", ">": "gt", "<": "lt", "~": "contains"}
_CONDITION = re.compile(r"^(?P<column>[^=!<>~]+)(?P<op>!=|=|>|<|~)(?P<value>.*)$", re.DOTALL)
Where = Annotated[
    list[str] | None,
    typer.Option(
        help="COLUMN=VALUE of a metadata column, or with !=, >, <, ~ (contains); may be given again. Or JSON."
    ),
]
Words = Annotated[str | None, typer.Option("--q", help="Words of the row's text, in any order.")]


def find_rows(
    *,
    where: Where = None,
    q: Words = None,
    label: Annotated[str | None, typer.Option(help="Audits: only rows with this given label.")] = None,
    predicted: Annotated[str | None, typer.Option(help="Audits: only rows that the model answers so.")] = None,
    disagree: Annotated[
        bool | None, typer.Option("--disagree/--agree", help="Audits: only rows that the model answers otherwise.")
    ] = None,
    min_suspicion: Annotated[float | None, typer.Option(min=0, max=1, help="Audits: from 0 to 1.")] = None,
) -> Json:
    """What was given, as query parameters. Raises InvalidRequest."""
    chosen = {"q": q, "label": label, "predicted": predicted, "disagree": disagree, "min_suspicion": min_suspicion}
    conditions = parse_where(where or [])
    return given({**chosen, "where": json.dumps(conditions) if conditions else None})


_PARAMETERS = tuple(signature(find_rows).parameters.values())
#: The options of `find_rows`, to be added to a command.
SEARCH = Options(
    _PARAMETERS, lambda written: find_rows(**{option.name: written[option.name] for option in _PARAMETERS})
)


def parse_where(texts: list[str]) -> list[Any]:
    """`source=web` -> `{"column": "source", "op": "eq", "value": "web"}`; JSON as it is. Raises InvalidRequest."""
    return [condition for text in texts for condition in _parse_conditions(text)]


def _parse_conditions(text: str) -> list[Any]:
    if text.lstrip().startswith(("[", "{")):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise InvalidRequest(
                f"--where is not JSON: {error}.", hint="Write COLUMN=VALUE, or a JSON list."
            ) from error
        return found if isinstance(found, list) else [found]
    match = _CONDITION.match(text)
    if match is None:
        raise InvalidRequest(f"--where {text[:80]!r} is no condition.", hint="Write COLUMN=VALUE, or a JSON list.")
    return [{"column": match["column"].strip(), "op": _OPS[match["op"]], "value": _value(match["value"].strip())}]


def _value(text: str) -> Any:
    """Numbers and truth values as such, anything else as text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float | str) else text
