"""`datainf audit` against a real HTTP server."""

import json
from pathlib import Path

import pytest
from support.processes.contract_server import ContractServer, problem
from support.processes.terminal import Call, assert_harmless


def test_an_audit_is_followed_and_its_rows_are_shown_harmlessly(call: Call, service: ContractServer) -> None:
    result = call(
        "audit",
        "idx_1",
        "--evaluation",
        "ds_2",
        "--signals",
        "loss, influence",
        "--weights",
        '{"influence": 0}',
        "--method",
        "exact",
        "--top",
        3,
    )
    assert result.exit_code == 0, result.stderr
    assert service.bodies("/v1/indexes/idx_1/audits") == [
        {
            "evaluation": {"dataset_id": "ds_2"},
            "signals": ["loss", "influence"],
            "weights": {"influence": 0},
            "method": "exact",
        }
    ]
    assert "40 rows audited" in result.stdout
    assert "the model agrees 75.0%" in result.stdout
    assert "[bold]x -> " in result.stdout
    assert "(93%)" in result.stdout
    assert "harmful" in result.stdout
    assert "r2" in result.stdout
    assert "r3" not in result.stdout
    assert "influence (shown, not counted): It says." in result.stderr
    assert "Not audited, for the index left them out: 1 rows" in result.stderr
    assert_harmless(result.stdout + result.stderr)


def test_without_influence_no_direction_is_shown(call: Call, service: ContractServer) -> None:
    service.has_scores = False
    result = call("audit", "idx_1")
    assert service.bodies("/v1/indexes/idx_1/audits") == [{}]
    assert "direction" not in result.stdout


def test_json_holds_the_audit_and_the_top_rows(call: Call, service: ContractServer) -> None:
    found = json.loads(call("audit", "idx_1", "--json", "--top", 5).stdout)
    assert found["id"] == "aud_1"
    assert [row["row_index"] for row in found["top"]] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("suffix", "media_type"),
    [(".csv", "text/csv"), (".jsonl", "application/jsonl"), (".PARQUET", "application/vnd.apache.parquet")],
)
def test_the_table_is_written_in_the_form_of_its_name(
    call: Call, service: ContractServer, tmp_path: Path, suffix: str, media_type: str
) -> None:
    target = tmp_path / f"table{suffix}"
    assert call("audit", "idx_1", "--out", target).exit_code == 0
    assert target.read_bytes() == b"row_index,row_id\r\n0,r0\r\n"
    assert service.headers[-1]["accept"] == media_type
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "table.txt"], ".parquet"),
        (["--signals", "loss,vibes"], "signals"),
        (["--weights", "[1]"], "not a JSON object"),
        (["--weights", '{"loss": -1}'], "weights"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_is_sent(
    call: Call, service: ContractServer, arguments: list[str], words: str
) -> None:
    result = call("audit", "idx_1", *arguments)
    assert result.exit_code == 1
    assert words in result.stderr
    assert service.sent == []


def test_a_table_that_cannot_be_written_or_had_leaves_no_file(
    call: Call, service: ContractServer, tmp_path: Path
) -> None:
    result = call("audit", "idx_1", "--out", tmp_path / "no" / "table.csv")
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
    service.refusal = problem(409, "index_not_ready", "The index is at 40 %.")
    assert "at 40 %" in call("audit", "idx_1", "--out", tmp_path / "table.csv").stderr
    assert list(tmp_path.iterdir()) == []


def test_a_failed_audit_says_why(call: Call, service: ContractServer) -> None:
    service.ending = "failed"
    result = call("audit", "idx_1")
    assert result.exit_code == 1
    assert "Row 7 is masked." in result.stderr


def test_status_knows_audits(call: Call) -> None:
    result = call("status", "aud_1")
    assert result.exit_code == 0
    assert "see --json" in result.stdout
    assert_harmless(result.stdout)
