"""The figures of audits that were looked at are kept in memory, no longer than the audits themselves."""

from typing import Any, cast

import numpy as np
import pytest
from starlette.testclient import TestClient

from app.http.context import Context
from influence.contracts.audit import Audit
from influence.store.data.search.figures import AuditFigures
from influence.store.store import Store
from influence.store.work import erase

ROWS = 12
TABLE: dict[str, Any] = {
    "row_index": np.arange(ROWS),
    "suspicion": np.linspace(0, 1, ROWS, dtype=np.float32),
    "loss": np.ones(ROWS, dtype=np.float32),
    "label": np.arange(ROWS, dtype=np.int32) % 3,
}


@pytest.fixture
def audit(client: TestClient, ready_index: dict[str, Any], store: Store) -> Audit:
    """A finished audit of twelve rows."""
    made = client.post(f"/v1/indexes/{ready_index['id']}/audits", json={}).json()
    store.audit_data.write_columns(made["id"], TABLE)
    done = {"state": "succeeded", "rows_audited": ROWS, "columns": tuple(TABLE)}
    audit = store.audits.update(made["id"], lambda found: found.model_copy(update=done))
    store.jobs.succeed(audit.job_id)
    return audit


def first_rows(client: TestClient, audit: Audit) -> list[int]:
    answer = client.get(f"/v1/audits/{audit.id}/rows", params={"length": 3})
    return [row["row_index"] for row in answer.json()["data"]] if answer.status_code == 200 else []


def test_pages_of_an_audit_read_its_figures_once(client: TestClient, audit: Audit, store: Store) -> None:
    assert first_rows(client, audit) == [11, 10, 9]
    store.audit_data.delete(audit.id)  # were they read again, they would be found to be lost
    assert first_rows(client, audit) == [11, 10, 9]


def test_lost_figures_are_looked_for_each_time(client: TestClient, audit: Audit, store: Store) -> None:
    store.audit_data.delete(audit.id)
    assert first_rows(client, audit) == []
    store.audit_data.write_columns(audit.id, TABLE)
    assert first_rows(client, audit) == [11, 10, 9]


def test_a_deleted_audit_leaves_the_memory_of_every_process(client: TestClient, audit: Audit, store: Store) -> None:
    figures = cast("Context", client.app.state.context).figures  # type: ignore[attr-defined]
    elsewhere = AuditFigures()
    first_rows(client, audit)
    elsewhere.read(store.audit_data, audit)
    assert figures.kept_bytes == elsewhere.kept_bytes == sum(column.nbytes for column in TABLE.values())
    elsewhere.forget_removed(store.holds)
    assert elsewhere.kept_bytes > 0
    assert client.delete(f"/v1/audits/{audit.id}").status_code == 204
    assert figures.kept_bytes == 0
    elsewhere.forget_removed(store.holds)
    assert elsewhere.kept_bytes == 0


def test_an_audit_that_is_sent_again_is_another(audit: Audit, store: Store) -> None:
    figures = AuditFigures()
    figures.read(store.audit_data, audit)
    again = audit.model_copy(update={"job_id": "job_again"})
    store.audit_data.write_columns(audit.id, TABLE | {"suspicion": np.zeros(ROWS, dtype=np.float32)})
    found = figures.read(store.audit_data, again)
    assert found is not None
    assert not found["suspicion"].any()


def test_figures_are_kept_under_a_bound_and_cannot_be_changed(audit: Audit, store: Store) -> None:
    figures = AuditFigures(kept_bytes=200)
    for job in ("job_1", "job_2"):
        found = figures.read(store.audit_data, audit.model_copy(update={"job_id": job}))
        assert found is not None
        with pytest.raises(ValueError, match="read-only"):
            found["label"][0] = 7
    assert figures.kept_bytes == sum(column.nbytes for column in TABLE.values())
    erase(store, store.audits, audit.id)
    figures.forget_removed(store.holds)
    assert figures.kept_bytes == 0
