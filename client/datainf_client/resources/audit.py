"""Audits."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from datainf_client.generated import models
from datainf_client.http.errors import ServiceError
from datainf_client.pages import slices
from datainf_client.resources.base import WithName, Work
from datainf_client.resources.review import Review
from datainf_client.tables.frames import flat, make_frame

if TYPE_CHECKING:
    import pandas as pd

MEDIA_TYPES = {".csv": "text/csv", ".jsonl": "application/jsonl", ".parquet": "application/vnd.apache.parquet"}


class Audit(models.Audit, Work, WithName):
    """Training rows ranked by evidence that their label is wrong."""

    collection: ClassVar[str] = "audits"

    def read_rows(
        self,
        *,
        sort: str | None = None,
        order: Literal["asc", "desc"] | None = None,
        label: str | int | None = None,
        predicted: str | int | None = None,
        disagree: bool | None = None,
        min_suspicion: float | None = None,
        where: Iterable[Mapping[str, Any]] | None = None,
        q: str | None = None,
        offset: int = 0,
    ) -> Iterator[models.AuditedRow]:
        """Rows that fit the filters, the most suspicious first, a page at a time; waited for."""
        chosen: dict[str, Any] = {
            "sort": sort,
            "order": order,
            "label": label,
            "predicted": predicted,
            "disagree": disagree,
        }
        chosen |= {"min_suspicion": min_suspicion, "where": where, "q": q}
        for row in slices(self.wait()._session, f"{self.path}/rows", offset=offset, **chosen):
            yield models.AuditedRow.model_validate(row)

    def to_pandas(self, **filters: Any) -> "pd.DataFrame":
        """Every row in the data set's order with its figures, waited for; with the filters of `read_rows` those rows
        alone, in their order and with `row_*` and `metadata_*` for what they hold."""
        if filters:
            return make_frame(_record(row) for row in self.read_rows(**filters))
        lines = self.wait()._session.lines(f"{self.path}/table", media_type=MEDIA_TYPES[".jsonl"])
        return make_frame(json.loads(line) for line in lines if line)

    def save_table(self, target: Path) -> None:
        """Write all rows as a file: .csv, .jsonl or .parquet."""
        media_type = MEDIA_TYPES.get(target.suffix.lower())
        if media_type is None:
            raise ServiceError(
                f"Cannot tell the form from the file name {target.name!r}.",
                code="invalid_request",
                hint=f"End the name with {', '.join(MEDIA_TYPES)}.",
            )
        self.wait()._session.download(f"{self.path}/table", target, media_type=media_type)

    def begin_review(self, *, name: str | None = None) -> Review:
        """A review of the audited rows, with the audit's order, filters and suggested labels."""
        body = {"dataset_id": self.dataset_id, "audit_id": self.id, "name": name}
        return Review.of(self._session, self._session.submit("/v1/reviews", body))


def _record(row: models.AuditedRow) -> dict[str, Any]:
    figures = row.model_dump(mode="json", exclude={"row", "metadata"})
    return flat(figures, row.row, row.metadata)
