"""The record of a data set that may have come before."""

from app.http.idempotency import Accepted
from influence.contracts.dataset import Dataset
from influence.store.store import Store


def keep_record(store: Store, dataset: Dataset, *, is_named: bool) -> Accepted:
    """Keep the record, or let it say how the same rows came this time; a name stays until another one is given."""
    if store.datasets.create(dataset):
        return Accepted(dataset.id)

    def renew(current: Dataset) -> Dataset:
        kept = {"created_at": current.created_at, "name": dataset.name if is_named else current.name}
        return dataset.model_copy(update=kept)

    store.datasets.update(dataset.id, renew)
    return Accepted(dataset.id, is_new=False)
