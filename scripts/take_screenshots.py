"""The pictures of docs/page/README.md, of a service that runs with the demo's data: `python -m demo --port 8400`.

python scripts/take_screenshots.py http://127.0.0.1:8400 docs/page
"""

import sys
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"


def main(url: str, folder: Path) -> None:
    """Take every picture."""
    folder.mkdir(parents=True, exist_ok=True)
    with httpx.Client(base_url=url, timeout=120) as client, sync_playwright() as playwright:
        paths = prepare(client)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(base_url=url, viewport={"width": 1280, "height": 860})
        for name, path in paths.items():
            take(page, name, path, folder / f"{name}.png")
        browser.close()


def prepare(client: httpx.Client) -> dict[str, str]:
    """What the pictures show: an index, a held-out ticket that the model gets wrong, an audit and its review."""
    index = next(found for found in get(client, "/v1/indexes")["data"] if found["state"] == "succeeded")
    asked = next(found for found in get(client, "/v1/datasets")["data"] if found["id"] != index["spec"]["dataset_id"])
    headers = {"Prefer": "wait=60"}
    audit = client.post(f"/v1/indexes/{index['id']}/audits", json={}, headers=headers).json()
    body = {"dataset_id": index["spec"]["dataset_id"], "audit_id": audit["id"], "name": "First look"}
    review = client.post("/v1/reviews", json=body).json()
    return {
        "home": "/ui/",
        "index": f"/ui/indexes/{index['id']}",
        "trace": f"/ui/indexes/{index['id']}/trace?dataset={asked['id']}&row=3",
        "audit": f"/ui/audits/{audit['id']}",
        "review": f"/ui/reviews/{review['id']}",
    }


def get(client: httpx.Client, path: str) -> Any:
    """The JSON of a GET."""
    return client.get(path).raise_for_status().json()


def take(page: Page, name: str, path: str, target: Path) -> None:
    """One picture, when the view is there."""
    page.goto(path)
    page.wait_for_selector("html[data-ready]")
    if name == "trace":
        page.wait_for_selector("html[data-answered]")
    if name == "review":
        for key in "wwqew":
            page.keyboard.press(key)
        page.get_by_text("5 of 800 decided").wait_for()
    page.screenshot(path=target)
    print(target)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
