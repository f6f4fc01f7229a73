"""Class numbers of a data set and of a model, matched by the names that both give."""

from pathlib import Path

import pytest

from influence.errors import LabelUnknown, RowsRefused
from influence.rows.columns import choose_columns
from influence.rows.file import RowFile, write_rows
from influence.rows.label_forms.class_order import names_by_number
from influence.rows.normalise import normalise_rows


@pytest.mark.parametrize(
    ("rows", "model", "named"),
    [
        (("b", "a"), ("a", "b"), ("b", "a")),
        (("a", "b"), ("a", "b"), None),
        (None, ("a", "b"), None),
        (("a", "b"), None, None),
        (("negative", "positive"), ("POSITIVE", "NEGATIVE"), ("NEGATIVE", "POSITIVE")),
        (("c", "a"), ("a", "b", "c"), ("c", "a")),
        (("a", "b"), ("a", "b", "c"), None),
    ],
)
def test_names_decide_where_both_sides_have_them(rows: object, model: object, named: object) -> None:
    assert names_by_number(rows, model) == named  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "model"), [(("a", "x"), ("a", "b")), (("a", "b", "c"), ("a", "b")), (("a", "A"), ("a", "b"))]
)
def test_names_that_the_model_does_not_have_are_refused_with_both_orders(
    rows: tuple[str, ...], model: tuple[str, ...]
) -> None:
    with pytest.raises(LabelUnknown, match="the checkpoint 0 'a', 1 'b'") as caught:
        names_by_number(rows, model)
    assert caught.value.extra["dataset_label_names"] == list(rows)


def test_rows_are_read_with_names_in_the_place_of_numbers(tmp_path: Path) -> None:
    labels = [1, None, [0, 1], "yes"]
    rows = [{"id": str(place), "text": "a", "label": label} for place, label in enumerate(labels)]
    write_rows(tmp_path / "rows", rows)
    with RowFile(tmp_path / "rows", ("no", "yes")) as file:
        assert [row["label"] for row in file.read()] == ["yes", None, ["no", "yes"], "yes"]
        assert [row["label"] for row in file] == ["yes", None, ["no", "yes"], "yes"]
        file.verify()


@pytest.mark.parametrize(
    ("said", "is_other"),
    [("neg", False), ("NEG ", False), ("pos", True), ("mauvais", False), (None, False), (0, False)],
)
def test_a_column_that_calls_a_label_as_another_of_its_names_is_refused(said: object, is_other: bool) -> None:
    rows = [{"text": "a", "label": 0, "label_text": said}]
    read = normalise_rows(rows, choose_columns(["text", "label", "label_text"]), label_names=["neg", "pos"])
    if not is_other:
        assert [row["label"] for row in read] == [0]
        return
    with pytest.raises(RowsRefused, match="label 0 is 'neg' by the label names, and 'pos' in column 'label_text'"):
        list(read)
