"""HEAD answers as GET does, without a body, wherever GET answers."""

import pytest
from starlette.testclient import TestClient

from influence.store.store import Store

#: Written anew with every answer.
OF_THE_MOMENT = {"date", "x-request-id"}


@pytest.mark.parametrize(
    "path", ["/v1/jobs", "/v1/methods", "/openapi.json", "/ui/", "/ui/static/main.css", "/health/live", "/v1/jobs/none"]
)
def test_head_has_the_status_and_the_headers_of_get(client: TestClient, path: str) -> None:
    got, asked = client.get(path), client.head(path)
    assert (asked.status_code, asked.content) == (got.status_code, b"")
    for name in got.headers.keys() - OF_THE_MOMENT:
        assert asked.headers[name] == got.headers[name], name


def test_head_says_that_nothing_has_changed(client: TestClient) -> None:
    tag = client.get("/v1/methods").headers["etag"]
    assert client.head("/v1/methods", headers={"If-None-Match": tag}).status_code == 304


def test_what_takes_no_get_takes_no_head(client: TestClient) -> None:
    answer = client.head("/v1/reviews/rev_1/undo")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_head_of_events_ends_though_the_job_goes_on(client: TestClient, store: Store) -> None:
    job = store.jobs.create("job_1", "index", "idx_1", "/v1/indexes/idx_1")
    answer = client.head(f"/v1/jobs/{job.id}/events")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
