"""`datainf export`: rows of a data set, an audit or a review as a file."""

from pathlib import Path
from typing import Annotated, get_args

import typer

from cli.client.paths import resource_path
from cli.commands.base import client_command
from cli.commands.reading.rows import Holder, require_holder
from cli.options.parsing import given
from cli.options.search import SEARCH
from cli.printing.output import Output
from cli.printing.text import bytes_text
from datainf_client import Client
from datainf_client.resources.audit import MEDIA_TYPES
from influence.contracts.common import Json
from influence.contracts.curation.review import ExportMode
from influence.errors import InvalidRequest

#: As the service's own routes take them; what a data set or an audit has not, it refuses by name.
FORMATS = ("jsonl", "csv", "parquet", "huggingface", "label-studio", "label-studio-config", "argilla")
Format = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="|".join(FORMATS), help="By the file's name when left out; the last three of reviews."
    ),
]


@client_command(SEARCH)
def export_command(
    service: Client,
    output: Output,
    settings: Json,
    *,
    holder_id: Holder,
    out: Annotated[Path, typer.Option(help="The file to write.")],
    form: Format = None,
    mode: Annotated[
        str | None,
        typer.Option(metavar="|".join(get_args(ExportMode)), help="Of reviews: which rows. [default: cleaned]"),
    ] = None,
) -> None:
    """Write rows to a file: a data set's, an audit's with their figures, or a review's with what was decided."""
    require_holder(holder_id)
    chosen = form or out.suffix.lower().lstrip(".")
    if chosen not in FORMATS:
        raise InvalidRequest(f"{chosen[:40]!r} is no format.", hint=f"Give --format: {', '.join(FORMATS)}.")
    path, parameters = resource_path(holder_id), {**settings, **given({"mode": mode})}
    if holder_id.startswith("aud_"):
        media_type = MEDIA_TYPES.get(f".{chosen}")
        if media_type is None:
            raise InvalidRequest(f"An audit has no form {chosen!r}.", hint=f"Give {', '.join(MEDIA_TYPES)}.")
        service.http.download(f"{path}/table", out, media_type=media_type, **parameters)
    else:
        service.http.download(f"{path}/export", out, format=chosen, **parameters)
    written = {"path": str(out), "format": chosen, "bytes": out.stat().st_size}
    output.show(written, lambda: output.say(f"Written to {out}: {bytes_text(out.stat().st_size)}"))
