"""Options that commands share, and options whose text means a list."""

import json
from typing import Annotated

import typer

from influence.errors import InvalidRequest

Url = Annotated[str, typer.Option("--url", envvar="DATAINF_URL", help="Where the service is.")]
ApiKey = Annotated[str | None, typer.Option("--api-key", envvar="DATAINF_API_KEY", help="Key of the service.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON on stdout; everything else on stderr.")]


def parse_names(text: str) -> list[str]:
    """`a,b` or a JSON list -> names. Raises InvalidRequest."""
    if not text.lstrip().startswith("["):
        return [name.strip() for name in text.split(",")]
    try:
        names = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"--label-names is not JSON: {error}.", hint='Write a,b,c or ["a", "b"].') from error
    return [str(name) for name in names]


def parse_numbers(text: str, option: str) -> list[int]:
    """`0,1,2` -> [0, 1, 2]. Raises InvalidRequest."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InvalidRequest(f"{option} {text[:80]!r} is no list of whole numbers.", hint="Write 0,1,2.") from error
