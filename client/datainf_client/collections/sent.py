"""What people bring: checkpoints and data sets."""

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import IO, Any

from datainf_client.collections.base import Listed
from datainf_client.http.session import Json
from datainf_client.resources.dataset import Dataset
from datainf_client.resources.small import Checkpoint
from datainf_client.sources.adapters import open_adapter
from datainf_client.sources.rows import Rows, find_label_names, open_rows

_BYTES = "application/octet-stream"


class Checkpoints(Listed[Checkpoint]):
    """Base model and adapter, addressed by the digest of their files."""

    kind = Checkpoint

    def create(
        self,
        base_model: str,
        adapter: str | PathLike[str] | IO[bytes] | None = None,
        *,
        trainable: Sequence[str] | None = None,
        task: str | None = None,
        label_names: Sequence[str] | None = None,
        revision: str | None = None,
        adapter_revision: str | None = None,
        name: str | None = None,
    ) -> Checkpoint:
        """Send what was trained on `base_model`, a hub id, an alias or a path on the service's machine.

        `adapter` is a folder or zip here (streamed, weights alone), an open zip, or else a hub id or a path there. A
        plain model has none: `trainable` names its trained modules, with `*` and `?`.
        """
        fields = {
            "base_model": base_model,
            "task": task,
            "revision": revision,
            "adapter_revision": adapter_revision,
            "name": name,
        }
        given = {name: value for name, value in fields.items() if value is not None}
        names = {} if label_names is None else {"label_names": list(label_names)}
        if adapter is None or (isinstance(adapter, str) and not Path(adapter).exists()):
            modules = {} if trainable is None else {"trainable": list(trainable)}
            there = {} if adapter is None else {"adapter": adapter}
            body = {**given, **names, **modules, **there}
            return Checkpoint.of(self._session, self._session.submit("/v1/checkpoints", body))
        if isinstance(adapter, str | PathLike):
            with open_adapter(Path(adapter)) as archive:
                return self._upload(archive, {**given, **names})
        return self._upload(adapter, {**given, **names})

    def _upload(self, archive: IO[bytes], fields: Json) -> Checkpoint:
        files = {"adapter": ("adapter.zip", archive, "application/zip")}
        made = self._session.submit("/v1/checkpoints", data=_form(fields), files=files)
        return Checkpoint.of(self._session, made)


class Datasets(Listed[Dataset]):
    """Rows, addressed by the digest of their normal form."""

    kind = Dataset

    def create(
        self,
        rows: Rows,
        *,
        name: str | None = None,
        columns: Mapping[str, str] | None = None,
        label_names: Sequence[str] | None = None,
    ) -> Dataset:
        """Send rows: a DataFrame, a `datasets.Dataset`, dictionaries, or the path of a file (JSONL, CSV, Parquet, ...).

        `columns` maps roles to columns where their names leave more than one reading. Class names of a
        `datasets.Dataset` go along.
        """
        names = label_names or find_label_names(rows, columns)
        with open_rows(rows) as (file_name, stream):
            return self.upload(stream, file_name, name=name, columns=columns, label_names=names)

    def upload(
        self,
        stream: IO[bytes],
        file_name: str,
        *,
        name: str | None = None,
        columns: Mapping[str, str] | None = None,
        label_names: Sequence[str] | None = None,
    ) -> Dataset:
        """Send an open file of rows; it is read once more if the connection is lost, so it has to be seekable."""
        fields = {"name": name, "columns": columns, "label_names": label_names}
        given = {name: value for name, value in fields.items() if value is not None}
        files = {"file": (file_name, stream, _BYTES)}
        return Dataset.of(self._session, self._session.submit("/v1/datasets", data=_form(given), files=files))

    def name(self, *, path: str | None = None, hub_id: str | None = None, **fields: Any) -> Dataset:
        """Rows that the service reads itself: a path below its allowed roots, or a hub id."""
        body = {"path": path, "hub_id": hub_id, **fields}
        given = {name: value for name, value in body.items() if value is not None}
        return Dataset.of(self._session, self._session.submit("/v1/datasets", given))


def _form(fields: Mapping[str, Any]) -> dict[str, str]:
    """Fields of a form: text as it is, anything else as JSON."""
    return {
        name: value if isinstance(value, str) else json.dumps(list(value) if isinstance(value, tuple) else value)
        for name, value in fields.items()
    }
