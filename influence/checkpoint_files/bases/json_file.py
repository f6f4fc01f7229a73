"""The JSON files of base models."""

import json
from pathlib import Path
from typing import Any

from influence.errors import BaseModelNotFound

_MAX_BYTES = 64 << 20


def read_json(file: Path) -> dict[str, Any]:
    """The object in a file. Raises BaseModelNotFound where there is none."""
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ValueError("it is too large")
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BaseModelNotFound(f"{file} cannot be read: {str(error)[:120]}.") from error
    if not isinstance(content, dict):
        raise BaseModelNotFound(f"{file} is no JSON object.")
    return content
