"""The curation loop from a terminal, on the real application and a real worker."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.processes.listening import listening
from support.processes.terminal import assert_harmless
from support.rows import make_ticket_rows
from support.service import running_worker
from support.tiny import LABELS, make_classifier
from typer.testing import CliRunner, Result

from app.main import create_app
from app.settings import ApiSettings
from cli.main import app
from cli.options.search import parse_where
from datainf_client import Client
from influence.errors import InvalidRequest
from influence.store.data.files import Files
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store

HOSTILE = "\x1b[2J[red]boo[/red]\u202e"


@pytest.fixture
def url(server: EmbeddedServer, store: Store, tmp_path: Path) -> Iterator[str]:
    """An API with a worker."""
    files = Files(tmp_path / "data")
    settings = ApiSettings(
        redis_url=server.url, data_dir=files.root, allowed_roots=(tmp_path,), hub_offline=True, max_wait_seconds=100
    )
    with (
        capture_logs(),  # the service in this process would write among the words of the command
        running_worker(server.url, files.root),
        listening(create_app(settings, store=store, files=files)) as address,
    ):
        yield address


class Terminal:
    """Calls of `datainf` that have to succeed."""

    def __init__(self, url: str) -> None:
        self.environment = {"DATAINF_URL": url, "COLUMNS": "200", "DATAINF_API_KEY": None}

    def run(self, *words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words], env=self.environment)

    def text(self, *words: object) -> str:
        result = self.run(*words)
        assert result.exit_code == 0, result.output
        assert_harmless(result.stdout + result.stderr)
        return result.stdout

    def json(self, *words: object) -> Any:
        result = self.run(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


def test_from_rows_to_a_cleaned_data_set(url: str, tmp_path: Path) -> None:
    terminal = Terminal(url)
    rows = make_ticket_rows(40)
    data = tmp_path / "rows.jsonl"
    lines = [{**row, "source": "crawl" if at % 4 == 0 else "forms", "said": HOSTILE} for at, row in enumerate(rows)]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    tiny = make_classifier(tmp_path / "tiny")
    model = ("--base-model", tiny.base, "--adapter", tiny.adapter, "--label-names", ",".join(LABELS))
    index = terminal.json("build", *model, "--data", data, "--max-length", 64)
    dataset_id = index["spec"]["dataset_id"]
    checkpoint_id = index["spec"]["checkpoint_id"]
    assert "[refund]" not in terminal.text("preview", dataset_id, checkpoint_id, "--rows", "0-1", "--max-length", 16)
    assert "datainf" in terminal.text("methods")

    found = terminal.json("rows", dataset_id, "--where", "source=crawl", "--sort", "source", "--top", 3)["data"]
    assert [row["metadata"]["source"] for row in found] == ["crawl"] * 3
    assert "source: crawl" in terminal.text(
        "rows", dataset_id, "--where", "source=crawl", "--out", tmp_path / "r.jsonl"
    )
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 10
    terminal.text("export", dataset_id, "--out", tmp_path / "crawl.csv", "--where", "source!=forms")
    assert len((tmp_path / "crawl.csv").read_text().splitlines()) == 11

    audit = terminal.json("audit", index["id"])
    suspects = terminal.json("rows", audit["id"], "--sort", "loss", "--order", "asc", "--top", 5)["data"]
    assert [row["loss"] for row in suspects] == sorted(row["loss"] for row in suspects)
    assert "given -> predicted" in terminal.text("rows", audit["id"], "--disagree")

    groups = terminal.json("groups", index["id"], "--by", "source", "--evaluation", dataset_id)
    assert "crawl 10 to 0" in terminal.text("what-if", groups["id"], "--group", "crawl")
    percentile = terminal.json("what-if", groups["id"], "--group", "crawl")["percentile"]
    assert f" {percentile:.1f}% of them lower" in terminal.text("what-if", groups["id"], "--group", "crawl")
    refused = terminal.run("what-if", groups["id"], "--group", "crawl", "--verify", "--max-seconds", "0.001")
    assert refused.exit_code == 1
    assert "the most helpful first" in terminal.text("groups", index["id"], "--by", "label", "--evaluation", dataset_id)

    review = terminal.json("review", "begin", dataset_id, "--audit", audit["id"], "--name", "look")["id"]
    dry = terminal.json("review", "decide", review, "--action", "remove", "--where", "source=crawl", "--dry-run")
    assert (dry["rows"], dry["version"]) == (10, 0)
    assert "2 rows changed" in terminal.text("review", "decide", review, "--action", "remove", "--rows", "3,4")
    relabel = ("--action", "relabel", "--label-from", "predicted", "--disagree", "--top", 2, "--by", "ada")
    terminal.text("review", "decide", review, *relabel)
    assert "row 3: remove" in terminal.text("review", "show", review)
    assert "decision" in terminal.text("rows", review)
    terminal.text("review", "export", review, "--out", tmp_path / "review.csv", "--mode", "annotated")
    other = terminal.json("review", "begin", dataset_id)["id"]
    assert "decisions, version 1" in terminal.text("review", "import", other, tmp_path / "review.csv", "--by", "bob")
    assert "decisions, version 2" in terminal.text("review", "undo", other, "--by", "bob")
    assert terminal.json("review", "apply", review)["rows_out"] == 38

    assert review in terminal.text("list", "reviews", "--name", "LOO")
    assert {one["id"] for one in terminal.json("list", "reviews")["data"]} == {review, other}
    assert terminal.json("list", "indexes", "--state", "failed") == {"data": []}
    refused = terminal.run("delete", index["id"])
    assert refused.exit_code == 1
    assert "--yes" in refused.stderr
    terminal.text("delete", index["id"], review, "--yes")
    assert "indexes: none" in terminal.text("list", "indexes")
    with Client(url) as client:
        assert [one.id for one in client.reviews] == [other]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("rows", "idx_1"), "has no rows"),
        (("rows", "ds_1", "--where", "source"), "is no condition"),
        (("rows", "ds_1", "--where", "[1"), "is not JSON"),
        (("export", "ds_1", "--out", "rows.xlsx"), "is no format"),
        (("export", "aud_1", "--out", "rows", "--format", "label-studio"), "has no form"),
        (("list", "things"), "Kinds are"),
        (("what-if", "grp_1"), "give one of"),
        (("review", "decide", "rev_1", "--action", "remove"), "say which rows"),
        (("review", "decide", "rev_1", "--rows", "1"), "action"),
        (("groups", "idx_1", "--by", "label"), "evaluation"),
        (("delete", "thing_1", "--yes"), "is not an id"),
        (("rename", "thing_1", "May"), "is not an id"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_is_sent(words: tuple[str, ...], told: str) -> None:
    result = CliRunner().invoke(app, [*words, "--url", "http://127.0.0.1:9"], env={"COLUMNS": "200"})
    assert result.exit_code == 1, result.output
    assert told in " ".join(result.stderr.split())


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("datainf ")


def test_conditions_are_written_as_people_think_of_them() -> None:
    assert parse_where(
        ["source=web mail", "weight>3", "name!=7 b", "note~=cmd", '[{"column": "a", "op": "is_null"}]']
    ) == [
        {"column": "source", "op": "eq", "value": "web mail"},
        {"column": "weight", "op": "gt", "value": 3},
        {"column": "name", "op": "ne", "value": "7 b"},
        {"column": "note", "op": "contains", "value": "=cmd"},
        {"column": "a", "op": "is_null"},
    ]
    with pytest.raises(InvalidRequest):
        parse_where([">3"])


def test_a_name_is_given_and_taken_away(url: str) -> None:
    terminal = Terminal(url)
    with Client(url) as client:
        dataset_id = client.datasets.create(make_ticket_rows(5)).id
    assert terminal.json("rename", dataset_id, "Tickets of May")["name"] == "Tickets of May"
    assert "Tickets of May" in terminal.text("list", "datasets")
    assert terminal.json("rename", dataset_id, "")["name"] is None
