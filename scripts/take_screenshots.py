"""The pictures of docs/page/README.md, of a service that runs with the demo's data: `python -m demo --port 8400`.

python scripts/take_screenshots.py http://127.0.0.1:8400 docs/page
"""

import sys
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
_WAIT = {"Prefer": "wait=60"}


def main(url: str, folder: Path) -> None:
    """Take every picture."""
    folder.mkdir(parents=True, exist_ok=True)
    with httpx.Client(base_url=url, timeout=120) as client, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(base_url=url, viewport={"width": 1280, "height": 860})
        index, paths = prepare(client)
        for name, path in paths.items():
            take(page, name, path, folder / f"{name}.png")
        take(page, "compare", compare(client, index, paths["review"]), folder / "compare.png")
        browser.close()


def prepare(client: httpx.Client) -> tuple[Any, dict[str, str]]:
    """What the pictures show: an index, a held-out ticket that the model gets wrong, an audit, its review, groups."""
    index = [found for found in get(client, "/v1/indexes")["data"] if found["state"] == "succeeded"][-1]
    sent = [found for found in get(client, "/v1/datasets")["data"] if found["derived_from"] is None]
    asked = next(found for found in sent if found["id"] != index["spec"]["dataset_id"])
    audit = post(client, f"/v1/indexes/{index['id']}/audits", {})
    review = post(
        client,
        "/v1/reviews",
        {"dataset_id": index["spec"]["dataset_id"], "audit_id": audit["id"], "name": "First look"},
    )
    groups = post(
        client, f"/v1/indexes/{index['id']}/groups", {"by": "label", "evaluation": {"dataset_id": asked["id"]}}
    )
    rows = {"dataset_id": asked["id"], "row_indexes": [3]}
    tokens = post(client, f"/v1/indexes/{index['id']}/queries", {"rows": rows, "method": "auto", "include": ["tokens"]})
    judged = evaluate(client, index["id"], asked["id"])
    trace = f"/ui/indexes/{index['id']}/trace"
    return index, {
        "home": "/ui/",
        "index": f"/ui/indexes/{index['id']}",
        "trace": f"{trace}?dataset={asked['id']}&row=3",
        "tokens": f"{trace}?query={tokens['id']}",
        "audit": f"/ui/audits/{audit['id']}",
        "review": f"/ui/reviews/{review['id']}",
        "groups": f"/ui/groups/{groups['id']}",
        "dataset": f"/ui/datasets/{index['spec']['dataset_id']}",
        "evaluation": f"/ui/evaluations/{judged}",
        "jobs": "/ui/jobs",
        "settings": "/ui/settings",
    }


def evaluate(client: httpx.Client, index_id: str, points: str) -> str:
    """A small evaluation of the index, finished: six trainings."""
    body = {
        "kind": "lds",
        "index_id": index_id,
        "evaluation_dataset_id": points,
        "subsets": 6,
        "recipe": {"epochs": 1},
        "methods": [{"method": "datainf"}, {"method": "proximal"}, {"method": "hessian_free"}],
    }
    made = post(client, "/v1/evaluations", body)
    client.get(f"/v1/jobs/{made['job_id']}/events", timeout=600).raise_for_status()
    return str(made["id"])


def compare(client: httpx.Client, index: Any, review: str) -> str:
    """Where the index is compared with that of the rows as the review left them, both asked and audited alike."""
    made = post(client, f"/v1/reviews/{review.rsplit('/', 1)[1]}/apply", None)
    spec = index["spec"]
    growing = {"grow_from": index["id"]} if spec["storage"] == "compact" else {"storage": spec["storage"]}
    body = {"checkpoint_id": spec["checkpoint_id"], "dataset_id": made["dataset_id"], **spec["gradients"], **growing}
    after = post(client, "/v1/indexes", body)
    client.get(f"/v1/jobs/{after['job_id']}/events").raise_for_status()
    post(client, f"/v1/indexes/{after['id']}/audits", {})
    rows = {"dataset_id": spec["dataset_id"], "row_indexes": [0, 1, 2]}
    for one in (index, after):
        post(client, f"/v1/indexes/{one['id']}/queries", {"rows": rows})
    return f"/ui/compare?from={index['id']}&to={after['id']}"


def get(client: httpx.Client, path: str) -> Any:
    """The JSON of a GET."""
    return client.get(path).raise_for_status().json()


def post(client: httpx.Client, path: str, body: Any) -> Any:
    """The JSON of a POST, when what it asks for is there."""
    return client.post(path, json=body, headers=_WAIT).raise_for_status().json()


def take(page: Page, name: str, path: str, target: Path) -> None:
    """One picture, when the view is there."""
    page.goto(path)
    page.wait_for_selector("html[data-ready]")
    if name in ("trace", "tokens"):
        page.wait_for_selector("html[data-answered]")
    if name == "tokens":
        page.locator(".side.helpful .row").first.press("Enter")
    if name == "review":
        for key in "wwqew":
            page.keyboard.press(key)
        page.get_by_text("5 of 800 decided").wait_for()
    if name == "groups":
        page.locator(".what-if").get_by_role("button", name="Ask").press("Enter")
        page.locator(".what-if figure").wait_for()
        page.locator(".what-if").scroll_into_view_if_needed()
    page.screenshot(path=target)
    print(target)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
