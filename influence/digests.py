"""Content addresses: equal content, equal id, whoever sends it."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from ulid import ULID

from influence.contracts.common import DEFAULT_NAMESPACE

#: Hex characters kept of a SHA-256: 160 bits, far beyond accident and beyond reach of a chosen collision.
DIGEST_CHARACTERS = 40
_READ_BYTES = 1 << 20
_DIGEST = re.compile(rf"[0-9a-f]{{{DIGEST_CHARACTERS}}}")


def is_digest(text: str) -> bool:
    """Whether a text is a digest of ours, and so fit for a path."""
    return _DIGEST.fullmatch(text) is not None


def canonical_json(value: Any) -> bytes:
    """Serialise so that equal values give equal bytes (sorted keys, no spaces, UTF-8; NaN refused)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_bytes(*parts: bytes) -> str:
    """Digest of byte strings, each framed by its length so that boundaries count."""
    state = hashlib.sha256()
    for part in parts:
        state.update(len(part).to_bytes(8, "big"))
        state.update(part)
    return state.hexdigest()[:DIGEST_CHARACTERS]


def digest_json(value: Any) -> str:
    """Digest of a JSON value, independent of key order."""
    return digest_bytes(canonical_json(value))


def digest_within(namespace: str, digest: str) -> str:
    """The address of content in a namespace: of its own in each, so that no one's deletion is another's loss."""
    return digest if namespace == DEFAULT_NAMESPACE else digest_json([namespace, digest])


def digest_file(path: Path) -> str:
    """Digest of one file's bytes, read in pieces."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            state.update(piece)
    return state.hexdigest()[:DIGEST_CHARACTERS]


def new_id(prefix: str) -> str:
    """A fresh, time-ordered id such as `job_01J...`."""
    return f"{prefix}_{ULID()}"
