"""A review over twelve labelled rows, and a finished audit of them."""

from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from support.stories.reviewing import Reviewing

from influence.store.store import Store

ROWS = 12
#: Rows 3, 7, 8 and 9 are answered otherwise than they are labelled.
PREDICTED = np.array([0, 1, 2, 1, 1, 2, 0, 0, 1, 2, 1, 2], np.int32)
SUSPICION = np.linspace(0, 1, ROWS).astype(np.float32)


@pytest.fixture
def review(client: TestClient, dataset_id: str) -> dict[str, Any]:
    """A review without an audit."""
    answer = client.post("/v1/reviews", json={"dataset_id": dataset_id, "name": "first look"})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.fixture
def audited(client: TestClient, ready_index: dict[str, Any], store: Store, dataset_id: str) -> dict[str, Any]:
    """A review of a finished audit; the higher the row, the more suspicious."""
    audit = client.post(f"/v1/indexes/{ready_index['id']}/audits", json={}).json()
    table: dict[str, Any] = {
        "row_index": np.arange(ROWS),
        "suspicion": SUSPICION,
        "loss": SUSPICION,
        "label": np.arange(ROWS, dtype=np.int32) % 3,
        "predicted": PREDICTED,
        "probability": SUSPICION,
        "other_probability": SUSPICION,
    }
    store.audit_data.write_columns(audit["id"], table)
    done = {"state": "succeeded", "rows_audited": ROWS, "columns": tuple(table)}
    store.audits.update(audit["id"], lambda found: found.model_copy(update=done))
    store.jobs.succeed(audit["job_id"])
    answer = client.post("/v1/reviews", json={"dataset_id": dataset_id, "audit_id": audit["id"]})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.fixture
def reviewing(client: TestClient, review: dict[str, Any]) -> Reviewing:
    return Reviewing(client, review["id"])


@pytest.fixture
def with_audit(client: TestClient, audited: dict[str, Any]) -> Reviewing:
    return Reviewing(client, audited["id"])
