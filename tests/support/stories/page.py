"""What tests of the page share: the service they look at and how they open a view."""

from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

from support.processes.serving import Service

#: Rows as strangers write them: markup, directions, control characters, length, no letters at all.
HOSTILE = (
    "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">",
    "\u202eevil\u202c \u0645\u0631\u062d\u0628\u0627 \u2066x\u2069",
    "😀" * 50 + " \x07 \u200b",
    "word " * 20_000,
    "javascript:alert(1) ${7*7} {{7*7}} </textarea>",
)


@dataclass(frozen=True)
class Story:
    """What the service of these tests holds; it may read what lies below `folder`."""

    service: Service
    index_id: str
    dataset_id: str
    hostile_id: str
    audit_id: str
    folder: Path

    @property
    def url(self) -> str:
        return str(self.service.client.base_url).rstrip("/")

    def compare_groups(self) -> str:
        body = {"by": "source", "evaluation": {"dataset_id": self.dataset_id, "row_indexes": list(range(5))}}
        made = self.service.post(f"/v1/indexes/{self.index_id}/groups", json=body)
        self.service.client.get(f"/v1/jobs/{made['job_id']}/events")  # ends with the job
        return str(made["id"])

    def begin_review(self) -> str:
        body = {"dataset_id": self.dataset_id, "audit_id": self.audit_id, "name": "First look"}
        return str(self.service.post("/v1/reviews", json=body)["id"])


def open_view(page: Page, path: str) -> None:
    """Go to a view and wait until it is there."""
    page.goto(path)
    page.wait_for_selector("html[data-ready]")
