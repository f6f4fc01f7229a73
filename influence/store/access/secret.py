"""The secret that hashes of API keys are made with: a file of its own in the data directory, which Redis never sees."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

SECRET_FILE = "keys.secret"
_BYTES = 32


def read_secret(data_dir: Path) -> bytes:
    """The secret of a data directory; the first who asks makes it. Only our user can read the file."""
    path = data_dir / SECRET_FILE
    data_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _write_once(path)
    return path.read_bytes()


def _write_once(path: Path) -> None:
    made = path.with_name(f"{SECRET_FILE}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(_BYTES))
    with suppress(FileExistsError):  # another was faster
        os.link(made, path)
    made.unlink()
