"""Options that commands share."""

from pathlib import Path
from typing import Annotated

import typer

Url = Annotated[str, typer.Option("--url", envvar="DATAINF_URL", help="Where the service is.")]
ApiKey = Annotated[str | None, typer.Option("--api-key", envvar="DATAINF_API_KEY", help="Key of the service.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON on stdout; everything else on stderr.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Watch the work until it is done.")]

AskedIndex = Annotated[str, typer.Argument(help="The index to ask (idx_...).")]
DatasetId = Annotated[str | None, typer.Option("--dataset-id", help="Instead of --data.")]
Columns = Annotated[
    str | None, typer.Option("--columns", help='JSON, role to column: \'{"text": "body", "label": "y"}\'.')
]
LabelNames = Annotated[
    str | None, typer.Option("--label-names", help="Class names in the head's order: a,b,c or a JSON list.")
]
DataFile = Annotated[Path | None, typer.Option("--data", help="Training rows: JSONL, JSON array, CSV or Parquet.")]
