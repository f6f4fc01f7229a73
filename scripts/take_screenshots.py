"""The pictures of docs/page/README.md, of a running service that holds the sample set or the demo's data.

python scripts/take_screenshots.py http://127.0.0.1:8400 docs/page
python scripts/take_screenshots.py http://127.0.0.1:8400 /tmp/phone --dark --width 390 --whole    # to look at them
"""

import argparse
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
_WAIT = {"Prefer": "wait=60"}


def main() -> None:
    """Take every picture."""
    options = read_options()
    options.folder.mkdir(parents=True, exist_ok=True)
    with httpx.Client(base_url=options.url, timeout=120) as client, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(
            base_url=options.url,
            viewport={"width": options.width, "height": 860},
            color_scheme="dark" if options.dark else "light",
        )
        index, paths = prepare(client)
        for name, path in paths.items():
            take(page, name, path, options)
        take(page, "compare", compare(client, index, paths["review"]), options)
        browser.close()


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dark", action="store_true", help="as those see it who prefer the dark")
    parser.add_argument("--width", type=int, default=1280, help="of the window, in pixels")
    parser.add_argument("--whole", action="store_true", help="all of a view, beyond the window")
    return parser.parse_args()


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
        "job": f"/ui/jobs/{index['job_id']}",
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


def take(page: Page, name: str, path: str, options: argparse.Namespace) -> None:
    """One picture, when the view is there."""
    page.goto(path)
    page.wait_for_selector("html[data-ready]")
    if name in ("trace", "tokens"):
        page.wait_for_selector("html[data-answered]")
    if name == "tokens":
        page.locator(".side.helpful .row").first.press("Enter")
        page.get_by_role("dialog").get_by_text("suspicion").wait_for()
    if name == "review":
        for key in "wwqew":
            page.keyboard.press(key)
        page.get_by_text("5 of ").first.wait_for()
    if name == "groups":
        page.locator(".what-if").get_by_role("button", name="Ask").press("Enter")
        page.locator(".what-if figure").wait_for()
        page.locator(".what-if").scroll_into_view_if_needed()
    target = options.folder / f"{name}.png"
    page.screenshot(path=target, full_page=options.whole)
    print(target)


if __name__ == "__main__":
    main()
