"""What is measured, and how: by the browser's own clock, up to the frame that shows it."""

import statistics
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, Page

FIRST_VIEW_MS = 300.0
NEXT_CARD_MS = 50.0
#: A page of the large audit may take this many times as long as one of the small, and so much more.
AUDIT_RATIO, AUDIT_SLACK_MS = 1.2, 20.0
DECISIONS = 60

#: When the view was complete, after the first byte of the document.
_FIRST = """
addEventListener("DOMContentLoaded", () => {
  new MutationObserver(() => {
    if (!document.documentElement.dataset.ready || window.measured) return;
    const [navigation] = performance.getEntriesByType("navigation");
    requestAnimationFrame(() => setTimeout(() => { window.measured = performance.now() - navigation.responseStart; }));
  }).observe(document.documentElement, { attributeFilter: ["data-ready"] });
});
"""
#: How long after each key or click something else stands first in an element: time to the frame that shows it.
_CHANGES = """
window.times = [];
for (const kind of ["keydown", "click"]) addEventListener(kind, (event) => {
  const first = () => document.querySelector(SELECTOR);
  const before = first();
  const look = () => requestAnimationFrame(() => {
    if (first() === before || !first()) return look();
    setTimeout(() => window.times.push(performance.now() - event.timeStamp));
  });
  if (before) look();
}, true);
"""


@dataclass(frozen=True)
class Views:
    """Where the page is, and ids of the audits and the review that are looked at."""

    url: str
    small: str
    large: str
    review: str


def line(name: str, times: list[float], target: float) -> dict[str, Any]:
    """A line of the report: the median counts."""
    median = statistics.median(times)
    met = "yes" if median <= target else "no"
    return {"what": name, "median": median, "slowest": max(times), "target": target, "met": met}


def measure_first_views(browser: Browser, views: Views, rounds: int) -> list[dict[str, Any]]:
    """Each view in a context that holds no cache."""
    paths = {"home": "/ui/", "audit": f"/ui/audits/{views.large}", "review": f"/ui/reviews/{views.review}"}
    times: dict[str, list[float]] = {name: [] for name in paths}
    for at in range(rounds + 1):
        for name, path in paths.items():
            context = browser.new_context(base_url=views.url)
            page = context.new_page()
            page.add_init_script(_FIRST)
            page.goto(path)
            page.wait_for_selector("html[data-ready]")
            taken = float(page.evaluate(_WAIT, "measured"))
            if at:
                times[name].append(taken)
            context.close()
    return [line(f"first view: {name}", found, FIRST_VIEW_MS) for name, found in times.items()]


#: The value of a name once it is there.
_WAIT = """(name) => new Promise((done) => {
  const look = () => window[name] ? done(window[name]) : setTimeout(look, 5);
  look();
})"""


def measure_review(browser: Browser, views: Views) -> list[dict[str, Any]]:
    """DECISIONS rows decided by key, each when the one before is shown."""
    page = _open(browser, views, f"/ui/reviews/{views.review}", ".review-card > *")
    times = [_act(page, lambda: page.keyboard.press("q")) for _ in range(DECISIONS)]
    page.context.close()
    return [line("next card", times, NEXT_CARD_MS)]


def measure_audits(browser: Browser, views: Views, rounds: int) -> list[dict[str, Any]]:
    """Pages of both audits in turns, the first of each left out."""
    names = {"small": views.small, "large": views.large}
    pages = {name: _open(browser, views, f"/ui/audits/{audit}", "tbody > *") for name, audit in names.items()}
    times: dict[str, list[float]] = {name: [] for name in pages}
    for at in range(min(rounds, 18) + 1):
        for name, page in pages.items():
            taken = _act(page, page.get_by_role("button", name="Next").click)
            if at:
                times[name].append(taken)
    for page in pages.values():
        page.context.close()
    small = statistics.median(times["small"])
    return [
        line("page of the small audit", times["small"], FIRST_VIEW_MS),
        line("page of the large audit", times["large"], small * AUDIT_RATIO + AUDIT_SLACK_MS),
    ]


def _open(browser: Browser, views: Views, path: str, selector: str) -> Page:
    page = browser.new_context(base_url=views.url).new_page()
    page.add_init_script(_CHANGES.replace("SELECTOR", f'"{selector}"'))
    page.goto(path)
    page.wait_for_selector("html[data-ready]")
    return page


def _act(page: Page, act: Any) -> float:
    """Milliseconds from what `act` does until something else is shown."""
    before = int(page.evaluate("() => window.times.length"))
    act()
    return float(page.evaluate(_NEXT, before))


#: The time that follows the first `count` of them.
_NEXT = """(count) => new Promise((done) => {
  const look = () => window.times.length > count ? done(window.times[count]) : setTimeout(look, 2);
  look();
})"""
