"""Data sets."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Unpack

from datainf_client.generated import models, settings
from datainf_client.pages import slices
from datainf_client.resources.base import WithName
from datainf_client.resources.small import Preview
from datainf_client.sources.ids import Named, id_of
from datainf_client.tables.frames import flat, make_frame

if TYPE_CHECKING:
    import pandas as pd


class Dataset(models.Dataset, WithName):
    """Rows, addressed by their content."""

    collection: ClassVar[str] = "datasets"

    def read_rows(
        self,
        *,
        where: Iterable[Mapping[str, Any]] | None = None,
        q: str | None = None,
        sort: str | None = None,
        order: Literal["asc", "desc"] | None = None,
        offset: int = 0,
    ) -> Iterator[models.DatasetRow]:
        """Rows that fit, in their order or by a column, from `offset` on, a page at a time.

        `where`: conditions `{"column": "source", "op": "eq", "value": "web"}`; `q`: words of the text.
        """
        chosen = {"where": where, "q": q, "sort": sort, "order": order}
        for row in slices(self._session, f"{self.path}/rows", offset=offset, **chosen):
            yield models.DatasetRow.model_validate(row)

    def to_pandas(self, **filters: Any) -> "pd.DataFrame":
        """Rows as `read_rows` finds them: `row_index`, `row_id`, and `row_*` and `metadata_*` for what they hold."""
        rows = self.read_rows(**filters)
        return make_frame(
            flat({"row_index": row.row_index, "row_id": row.row_id}, row.row, row.metadata) for row in rows
        )

    def preview(self, checkpoint: Named, **given: Unpack[settings.PreviewRequest]) -> Preview:
        """Rows as a checkpoint's model reads them; `.wait()` for it."""
        body = {"checkpoint_id": id_of(checkpoint), **given}
        return Preview.of(self._session, self._session.submit(f"{self.path}/preview", body))
