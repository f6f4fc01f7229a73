"""What tests of the page share: the service they look at and how they open a view."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
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
    redis_url: str
    index_id: str
    dataset_id: str
    hostile_id: str
    audit_id: str
    folder: Path

    @property
    def url(self) -> str:
        return str(self.service.client.base_url).rstrip("/")

    @property
    def data(self) -> Path:
        """The service's own files."""
        return self.folder / "data"

    def send_rows(self, name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Rows as a data set."""
        return send_rows(self.service, name, rows)

    def apply_review(self, wait_until: Callable[..., None]) -> str:
        """The index of the rows without one of them, and with another label for the first of label 'billing'."""
        rows = self.service.get(f"/v1/datasets/{self.dataset_id}/rows?length=60")["data"]
        first, other = [row["row_index"] for row in rows if row["row"]["label"] == "billing"][:2]
        decisions = [
            {"row_index": first, "action": "relabel", "label": "access"},
            {"row_index": other, "action": "remove"},
        ]
        review = self.begin_review()
        path = f"/v1/reviews/{review}"
        assert self.service.client.patch(f"{path}/decisions", json={"decisions": decisions}).status_code == 200
        made = self.service.post(f"{path}/apply")
        spec = self.service.get(f"/v1/indexes/{self.index_id}")["spec"]
        body = {"checkpoint_id": spec["checkpoint_id"], "dataset_id": made["dataset_id"], "max_length": 64}
        index = self.service.post("/v1/indexes", json=body)
        assert self.service.finish(index["job_id"], wait_until)["state"] == "succeeded"
        return str(index["id"])

    def begin_long_evaluation(self) -> Any:
        """Far more trainings than any test waits for."""
        points = {"evaluation_dataset_id": self.dataset_id, "test_points": 5}
        body = {"kind": "lds", "index_id": self.index_id, "subsets": 2000, **points}
        return self.service.post("/v1/evaluations", json=body)

    def evaluate(self) -> str:
        """An evaluation of four short trainings, once it is over."""
        points = {"evaluation_dataset_id": self.dataset_id, "test_points": 5}
        body = {"kind": "lds", "index_id": self.index_id, "subsets": 4, "recipe": {"epochs": 1}, **points}
        made = self.service.post("/v1/evaluations", json=body)
        self.service.client.get(f"/v1/jobs/{made['job_id']}/events")  # ends with the job
        return str(made["id"])

    def compare_groups(self) -> str:
        body = {"by": "source", "evaluation": {"dataset_id": self.dataset_id, "row_indexes": list(range(5))}}
        made = self.service.post(f"/v1/indexes/{self.index_id}/groups", json=body)
        self.service.client.get(f"/v1/jobs/{made['job_id']}/events")  # ends with the job
        return str(made["id"])

    def begin_review(self) -> str:
        body = {"dataset_id": self.dataset_id, "audit_id": self.audit_id, "name": "First look"}
        return str(self.service.post("/v1/reviews", json=body)["id"])


def send_rows(service: Service, name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows as a data set."""
    lines = "\n".join(json.dumps(row) for row in rows)
    return dict(service.post("/v1/datasets", files={"file": (name, lines.encode())}))


def zip_adapter(folder: Path) -> bytes:
    """The files of an adapter as they are uploaded."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    return packed.getvalue()


def assert_without_barrier(page: Page) -> None:
    """What is shown breaks no rule of WCAG 2.2 AA that a program can check, in the light and in the dark."""
    page.emulate_media(color_scheme="light")
    assert_kept(page, ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"])
    page.emulate_media(color_scheme="dark")
    assert_kept(page, ["color-contrast"])  # no other rule asks for colours


def assert_kept(page: Page, rules: list[str]) -> None:
    """What is shown breaks none of the rules, which are named one by one or by their tags."""
    found = Axe().run(page, options={"runOnly": rules})
    assert found.violations_count == 0, found.generate_report()


def open_view(page: Page, path: str) -> None:
    """Go to a view and wait until it is there; what the page says instead fails at once."""
    page.goto(path)
    page.wait_for_selector("html[data-ready], main > .problem")
    assert page.locator("main > .problem").all_inner_texts() == []
