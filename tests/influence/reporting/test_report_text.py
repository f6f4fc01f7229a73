"""Reports as text: digits that mean something, intervals in one cell, names that stay names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from influence.contracts.common import now
from influence.contracts.evaluation.experiment import LdsRequest
from influence.contracts.evaluation.record import Evaluation, Subject
from influence.contracts.evaluation.report import Picture, Report, Series, Table
from influence.reporting.markdown import plain_text, to_markdown
from influence.reporting.numbers import cell_text, count_of, interval_text, number_text
from influence.reporting.tables import text_table


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.93124, "0.931"),
        (12.3456, "12.3"),
        (1234.5, "1,234"),
        (0.0, "0"),
        (-0.00123, "-0.00123"),
        (3.2e-7, "3.20e-07"),
        (1.5e9, "1.50e+09"),
        (float("nan"), "–"),
        (7, "7"),
        (12345, "12,345"),
        (None, "–"),
        ("datainf", "datainf"),
    ],
)
def test_numbers_have_the_digits_that_carry_something(value: float | str | None, shown: str) -> None:
    assert cell_text(value) == shown


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (0.93124, 0.9171, 0.9442, "0.931 (0.917 to 0.944)"),
        (0.93124, 0.5, 1.0, "0.93 (0.50 to 1.00)"),
        (0.51272, 0.5036, 0.5212, "0.513 (0.504 to 0.521)"),
        (1234.56, 1100.0, 1400.0, "1,235 (1,100 to 1,400)"),
        (0.5, 0.5, 0.5, "0.500"),
        (0.5, float("nan"), 1.0, "0.500"),
    ],
)
def test_an_interval_says_where_digits_stop(value: float, low: float, high: float, shown: str) -> None:
    assert interval_text(value, low, high) == shown


@given(st.floats(-1e300, 1e300))
def test_shown_numbers_are_the_numbers_to_half_a_percent(value: float) -> None:
    assert float(number_text(value).replace(",", "")) == pytest.approx(value, rel=5e-3, abs=0)


def test_intervals_stand_in_the_cell_of_their_value() -> None:
    table = Table(
        name="auc",
        title="AUC",
        columns=("method", "AUC", "AUC low", "AUC high", "loss low"),
        rows=(("datainf", 0.7, 0.65, 0.75, 2), ("exact", None, None, None, 3)),
    )
    columns, rows = text_table(table)
    assert columns == ["method", "AUC", "loss low"]
    assert rows == [["datainf", "0.70 (0.65 to 0.75)", "2"], ["exact", "–", "3"]]


def report_with(text: str) -> str:
    table = Table(name="t", title=text, columns=(text, "n"), rows=((text, 1.0),), note=text)
    picture = Picture(name="p", title=text, x_label="x", y_label="y", series=(Series(label=text, x=(text,), y=(1.0,)),))
    report = Report(tables=(table,), pictures=(picture,), reading=(text,))
    request = LdsRequest(kind="lds", dataset_id="ds_a")
    subject = Subject(task="causal_lm", base_model=None, dataset_id="ds_a")
    evaluation = Evaluation(
        id="eval_a",
        job_id="job_a",
        state="succeeded",
        request=request,
        subject=subject,
        report=report,
        created_at=now(),
    )
    return to_markdown(evaluation, report)


def test_a_report_is_headings_tables_and_links_to_its_pictures() -> None:
    lines = report_with("ten of them").splitlines()
    assert lines[0] == "# lds"
    assert "* ten of them" in lines
    assert lines[lines.index("## ten of them") + 2 :][:3] == [
        "| ten of them | n |",
        "| --- | ---: |",
        "| ten of them | 1.00 |",
    ]
    assert "![ten of them](pictures/p.svg)" in lines


def test_names_never_become_markup() -> None:
    shown = report_with("<script>a|b`c`\n# [x](javascript:1) ![y](z)")
    assert "<" not in shown.replace("\\<", "")
    assert "[x](" not in shown.replace("\\[", "")
    assert sum(line.startswith("#") for line in shown.splitlines()) == 2
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {3}


@given(st.text(max_size=40))
def test_any_text_stays_on_one_line_and_every_mark_is_escaped(text: str) -> None:
    shown = plain_text(text)
    assert len(shown.splitlines()) <= 1
    assert "<" not in shown.replace("\\<", "")
    assert "|" not in shown.replace("\\|", "")


@pytest.mark.parametrize(("number", "text"), [(0, "0 seeds"), (1, "1 seed"), (1200, "1,200 seeds")])
def test_numbers_of_things_are_singular_only_for_one(number: int, text: str) -> None:
    assert count_of(number, "seed") == text
