"""The dashboard asks for nothing that the service does not tell."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.http.health.metrics import Metrics
from influence.store.store import Store

DASHBOARD = Path(__file__).resolve().parents[2] / "docker" / "grafana" / "datainf.json"
DOCUMENTED = DASHBOARD.parents[2] / "docs" / "running" / "watching.md"
NAME = re.compile(r"\bdatainf_[a-z_]+")
SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return read


def expressions(dashboard: dict[str, Any]) -> list[str]:
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return targets + [found["expr"] for found in dashboard["annotations"]["list"]]


def told_names(store: Store) -> set[str]:
    """Every name that a scraper can meet, by the types that the metrics declare."""
    kinds = re.findall(r"^# TYPE (\S+) (\S+)$", Metrics(store).render().decode(), re.MULTILINE)
    return {name + suffix for name, kind in kinds for suffix in SUFFIXES[kind]}


def test_every_metric_of_the_dashboard_exists(dashboard: dict[str, Any], store: Store) -> None:
    asked = {name for expression in expressions(dashboard) for name in NAME.findall(expression)}
    assert asked
    assert asked <= told_names(store)


def test_every_metric_of_the_documentation_exists(store: Store) -> None:
    told = set(NAME.findall(DOCUMENTED.read_text()))
    assert {name for name in told_names(store) if not name.endswith(("_bucket", "_sum", "_count"))} - told == set()
    assert told - told_names(store) <= {"datainf_http_request_seconds"}


def test_every_figure_of_the_store_is_on_the_dashboard(dashboard: dict[str, Any], store: Store) -> None:
    asked = {name for expression in expressions(dashboard) for name in NAME.findall(expression)}
    assert {name for name in told_names(store) if not name.startswith("datainf_http")} <= asked


def test_panels_do_not_lie_over_each_other_and_have_names_of_their_own(dashboard: dict[str, Any]) -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(places)


def test_figures_that_every_replica_tells_are_never_added_up_over_replicas(dashboard: dict[str, Any]) -> None:
    for expression in expressions(dashboard):
        if "datainf_http" not in expression:
            assert re.match(r"(sum\()?(1000 \* )?max( by \([a-z_, ]+\)| ?\()", expression), expression
