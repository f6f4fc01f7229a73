"""Reviews: what people decided about the rows of a data set."""

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, Unpack, overload

from datainf_client.generated import models, settings
from datainf_client.pages import slices
from datainf_client.resources.base import WithName
from datainf_client.resources.cleaning import clean
from datainf_client.resources.dataset import Dataset
from datainf_client.sources.rows import open_file
from datainf_client.tables.frames import make_frame

if TYPE_CHECKING:
    import pandas as pd

Action = Literal["keep", "relabel", "remove", "later"]
Frame = TypeVar("Frame")
Answer = TypeVar("Answer", models.DecisionsAnswer, models.BulkAnswer)
_MOST_DECISIONS = 10_000


class Review(models.Review, WithName):
    """Decisions beside the rows, never in them."""

    collection: ClassVar[str] = "reviews"

    def decide(
        self,
        decisions: Sequence[Mapping[str, Any]] | int,
        action: Action | None = None,
        *,
        label: str | int | None = None,
        note: str | None = None,
        by: str | None = None,
        if_version: int | None = None,
    ) -> models.DecisionsAnswer:
        """Decide about one row, `decide(7, "remove")`, or several: `{"row_index", "action", "label", "note"}` each.

        `action` None takes a decision back. With `if_version`, rows that someone decided after that version of the
        review are left as they are and come back as `conflicts`.
        """
        if isinstance(decisions, int):
            one = {"row_index": decisions, "action": action, "label": label, "note": note}
            decisions = [{name: value for name, value in one.items() if value is not None or name == "action"}]
        body = {"decisions": [dict(one) for one in decisions], "by": by}
        headers = {} if if_version is None else {"If-Match": f'"{if_version}"'}
        answer = self._session.patch(f"{self.path}/decisions", body, headers=headers)
        return self._answered(models.DecisionsAnswer.model_validate(answer))

    def decide_many(self, action: Action, **given: Unpack[settings.BulkRequest]) -> models.BulkAnswer:
        """One action for many rows: `row_indexes`, or `filter` and `top` of the audit; `dry_run` only tells."""
        path, is_dry = f"{self.path}/decisions/bulk", bool(given.get("dry_run"))
        body = {"action": action, **given}
        return self._answered(models.BulkAnswer.model_validate(self._session.post(path, body, is_repeatable=is_dry)))

    def undo(self, *, by: str | None = None) -> models.DecisionsAnswer:
        """Take the last change back, of one reviewer or of anyone."""
        answer = self._session.post(f"{self.path}/undo", {"by": by})
        return self._answered(models.DecisionsAnswer.model_validate(answer))

    def read_decisions(self) -> Iterator[models.Decision]:
        """Decisions, the newest first."""
        for decision in slices(self._session, f"{self.path}/decisions"):
            yield models.Decision.model_validate(decision)

    def read_history(self) -> Iterator[models.HistoryEntry]:
        """Every change ever made, the newest first."""
        for entry in slices(self._session, f"{self.path}/history"):
            yield models.HistoryEntry.model_validate(entry)

    def to_pandas(self) -> "pd.DataFrame":
        """Decisions as a frame: `row_index`, `action`, `label`, `note`, `by`, `at`."""
        columns = ("row_index", "action", "label", "note", "by", "at", "version")
        return make_frame((one.model_dump() for one in self.read_decisions()), columns)

    @overload
    def apply(self) -> Dataset: ...

    @overload
    def apply(self, rows: Frame) -> Frame: ...

    def apply(self, rows: Any = None) -> Any:
        """Without rows: the cleaned data set on the service, with a manifest in `derived_from`.

        With the rows that were uploaded, as a DataFrame, a `datasets.Dataset` or a list of dictionaries: the same kind
        of thing, with what was decided: rows removed, labels changed, everything else as it was. Raises ServiceError
        where these are not the rows that were decided about.
        """
        if rows is not None:
            return clean(self._session, self, rows)
        made = self._session.post(f"{self.path}/apply", is_repeatable=True)
        return Dataset.read(self._session, str(made["dataset_id"]))

    def export(self, target: str | PathLike[str], *, format: str | None = None, mode: str = "cleaned") -> Path:
        """Write reviewed rows to a file. `format`: `jsonl`, `csv`, `parquet`, `label-studio` or `label-studio-config`;
        by the file's name when left out. `mode`: `cleaned`, `annotated` or `removed`."""
        path = Path(target)
        chosen = format or path.suffix.lower().lstrip(".") or "jsonl"
        self._session.download(f"{self.path}/export", path, format=chosen, mode=mode)
        return path

    def import_decisions(self, source: str | PathLike[str], *, by: str | None = None) -> models.DecisionsAnswer:
        """Take decisions back from a file: Label Studio's JSON export, or CSV or JSON lines with `row_index` and
        `action`. All of them are taken, or none."""
        path = Path(source)
        with open_file(path, "file") as stream:
            fields = {} if by is None else {"by": by}
            answer = self._session.post(f"{self.path}/import", data=fields, files={"file": (path.name, stream)})
        return self._answered(models.DecisionsAnswer.model_validate(answer))

    def _answered(self, answer: Answer) -> Answer:
        self.version = answer.version
        return answer
