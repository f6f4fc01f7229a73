"""Lists of resources: newest first, filtered, light; and the names that people give to resources."""

from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query, Response
from pydantic import Field

from app.http.context import Context, Ctx
from app.http.idempotency import Accepted
from app.http.pagination import Bounds, PageParameters, bounds_of
from app.http.responses import json_response
from influence.contracts.common import NameChange, Record
from influence.contracts.work_record import JobState, WorkRecord
from influence.errors import RecordDamaged
from influence.store.records import Records, WorkRecords
from influence.store.work import with_job_state

Model = TypeVar("Model", bound=Record)
Made = TypeVar("Made", bound=WorkRecord)


class NamedParameters(PageParameters):
    """A page of the resources that fit."""

    name: str | None = Field(None, max_length=200, description="A part of the name, whatever its case.")


class WorkParameters(NamedParameters):
    """A page of the results of work that fit."""

    state: JobState | None = None
    index_id: str | None = Field(None, description="Made from this index.")
    dataset_id: str | None = Field(None, description="Made from this data set.")
    checkpoint_id: str | None = Field(None, description="Made from this checkpoint.")


class NameList:
    """Checked parameters of one list."""

    def __init__(self, bounds: Bounds, parameters: NamedParameters) -> None:
        self.bounds = bounds
        self.parameters = parameters

    def fits(self, record: Record) -> bool:
        """Whether the record's name is what was asked."""
        wanted = self.parameters.name
        return wanted is None or wanted.casefold() in (getattr(record, "name", None) or "").casefold()

    def respond(self, records: Records[Model], show: Callable[[Model], Model] = lambda record: record) -> Response:
        """The page, each record as `show` makes it; one of which something cannot be read is left out.

        Raises NotFound for a cursor that points at nothing.
        """
        page = records.page(limit=self.bounds.length, after=self.bounds.after, fits=self.fits)
        shown = []
        for record in page.data:
            with suppress(RecordDamaged):  # asked for by its id it says so
                shown.append(show(record))
        return json_response(page.model_copy(update={"data": shown}))


class WorkList:
    """Checked parameters of one list of results of work; `holds` is what else a record must have."""

    def __init__(
        self, bounds: Bounds, parameters: WorkParameters, holds: Callable[[Any], bool] = lambda _: True
    ) -> None:
        self._names = NameList(bounds, parameters)
        self._holds = holds
        self._bounds = bounds
        self._parameters = parameters

    def respond(self, context: Context, records: WorkRecords[Made]) -> Response:
        """The page, records as their jobs know them and without what grows with the work.

        Raises NotFound for a cursor that points at nothing.
        """
        shown: dict[str, Made] = {}

        def fits(record: Made) -> bool:
            if not (self._names.fits(record) and self._is_made_from(record) and self._holds(record)):
                return False
            shown[record.id] = with_job_state(context.store, record)
            return self._parameters.state in (None, shown[record.id].state)

        page = records.page(limit=self._bounds.length, after=self._bounds.after, fits=fits)
        return json_response(page.model_copy(update={"data": [shown[one.id].lighten() for one in page.data]}))

    def _is_made_from(self, record: WorkRecord) -> bool:
        asked = self._parameters
        wanted = {one for one in (asked.index_id, asked.dataset_id, asked.checkpoint_id) if one is not None}
        return wanted <= record.sources


async def find_names(context: Ctx, parameters: Annotated[NamedParameters, Query()]) -> NameList:
    """Raises InvalidRequest."""
    return NameList(bounds_of(context, parameters), parameters)


async def find_work(context: Ctx, parameters: Annotated[WorkParameters, Query()]) -> WorkList:
    """Raises InvalidRequest."""
    return WorkList(bounds_of(context, parameters), parameters)


NamesOf = Annotated[NameList, Depends(find_names)]
WorkOf = Annotated[WorkList, Depends(find_work)]


def name_made(records: Records[Model], made: Accepted, name: str | None) -> Accepted:
    """What a request made or found, under the name that it gives, if it gives one."""
    if name is not None and getattr(records.require(made.resource_id), "name", None) != name:
        rename(records, made.resource_id, NameChange(name=name))
    return made


def rename(records: Records[Model], record_id: str, change: NameChange) -> Model:
    """The record under its new name. Raises NotFound."""
    return records.update(record_id, lambda record: record.model_copy(update={"name": change.name}))
