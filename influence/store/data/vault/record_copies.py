"""Copies of records among the files, by kind and id: what is needed to make records anew where Redis lost them.

records/<kind>/<id>.json   the sealed text that Redis has
"""

import re
from collections.abc import Iterator

from influence.contracts.common import Record
from influence.contracts.index import Index
from influence.errors import NotFound
from influence.store import keys
from influence.store.data.vault.port import Vault

_FOLDER, _SUFFIX = "records", ".json"
_KIND = re.compile(r"[a-z]+")


def is_copied(record: Record) -> bool:
    """Whether a record is worth a copy: of indexes those alone whose data the files have, too."""
    return not isinstance(record, Index) or (record.state == "succeeded" and record.spec.storage == "compact")


class RecordCopies:
    """Texts of records in files. Each method raises FilesUnavailable where those do not answer, OSError for a disk."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def write(self, kind: str, record_id: str, text: bytes) -> None:
        """Keep the text of a record, in the place of an earlier one."""
        self._vault.write(_name(kind, record_id), text)

    def read(self, kind: str, record_id: str) -> bytes | None:
        """The text that was kept; None where there is none."""
        return self._vault.load(_name(kind, record_id))

    def remove(self, kind: str, record_id: str) -> None:
        """Keep nothing of a record any more."""
        self._vault.discard(_name(kind, record_id))

    def ids(self, kind: str) -> Iterator[str]:
        """Ids of which there are copies."""
        yield from (name for name in self.names(kind) if keys.is_id(name))

    def names(self, kind: str) -> Iterator[str]:
        """Names of all that lies among the copies of a kind, be it no id."""
        for name in self._vault.names(f"{_FOLDER}/{kind}"):
            yield name.rpartition("/")[2].removesuffix(_SUFFIX)


def _name(kind: str, record_id: str) -> str:
    if not _KIND.fullmatch(kind) or not keys.is_id(record_id):
        raise NotFound(f"There is no {kind[:80]} '{record_id[:80]}'.")
    return f"{_FOLDER}/{kind}/{record_id}{_SUFFIX}"
