"""Options that commands share, and options whose text means a list."""

import json
from pathlib import Path
from typing import Annotated

import typer

from influence.contracts.common import Json
from influence.errors import InvalidRequest

Url = Annotated[str, typer.Option("--url", envvar="DATAINF_URL", help="Where the service is.")]
ApiKey = Annotated[str | None, typer.Option("--api-key", envvar="DATAINF_API_KEY", help="Key of the service.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON on stdout; everything else on stderr.")]

#: Where test points come from, see `questions.choose_source`.
Texts = Annotated[list[str] | None, typer.Option("--text", help="Text of a test point; may be given again.")]
Examples = Annotated[
    list[str] | None, typer.Option("--example", help="A test point as a JSON row; may be given again.")
]
PointsFile = Annotated[Path | None, typer.Option("--file", help="Test points as JSONL; '-' reads standard input.")]
PointsDataset = Annotated[str | None, typer.Option("--dataset", help="Test points from a stored data set (ds_...).")]
PointsRows = Annotated[str | None, typer.Option("--rows", help="Which of its rows: 1,2,3 or 10-19; all when left out.")]
Target = Annotated[str | None, typer.Option("--target", help="Loss on the 'label' or on the model's own 'prediction'.")]

AskedIndex = Annotated[str, typer.Argument(help="The index to ask (idx_...).")]
DampingScale = Annotated[float | None, typer.Option("--damping-scale", help="Damping; 0.1 is the paper's.")]
BaseModelName = Annotated[
    str | None, typer.Option("--base-model", help="Alias, hub id, or a path that the service may read.")
]
DatasetId = Annotated[str | None, typer.Option("--dataset-id", help="Instead of --data.")]
MaxLength = Annotated[int | None, typer.Option("--max-length", min=1, help="Tokens a row.")]


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


def given(options: Json) -> Json:
    """The options that were given: those left out are None."""
    return {name: value for name, value in options.items() if value is not None}
