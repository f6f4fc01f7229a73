"""What a label cell says: names before numbers, one reading or a refusal by row."""

from typing import Any

import pytest

from influence.errors import BrokenRow, DatainfError, LabelUnknown, RowsRefused
from influence.rows.columns import choose_columns
from influence.rows.label_forms.all_rows import find_joined
from influence.rows.label_forms.class_values import NoLabel, Reading, read_label
from influence.rows.label_forms.tags import TagBook
from influence.rows.labels import is_ambiguous
from influence.rows.normalise import NormalisedRows, normalise_rows

MISSING = ["", " ", "nan", "NaN", "NAN", "NULL", "null", "None", "N/A", "n/a", "NA", "#N/A", "<NA>", "-", "--", " nan "]
MISSING += ["?", "—", "#N/A N/A", "\\N", "n.a.", "(blank)", "Unlabelled", "-1.#IND"]
SEVERAL = ['{"choices": ["A", "B"]}', '["A", "B"]', "['A', 'B']", "('a', 'b')", "[1, 2]", "[]"]


def labelled(labels: list[Any], *, untyped: bool = False, **options: Any) -> NormalisedRows:
    rows = [{"text": f"text {place}", "label": label} for place, label in enumerate(labels)]
    return normalise_rows(rows, choose_columns(["text", "label"]), text_types={} if untyped else None, **options)


def labels_of(labels: list[Any], **options: Any) -> list[Any]:
    return [row["label"] for row in labelled(labels, **options)]


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("word", MISSING)
def test_words_for_nothing_are_no_classes(word: str, typed: bool) -> None:
    assert read_label(word, "label", typed=typed) == NoLabel("missing", word.strip())


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("word", ["none", "N/A", "-", "3", "3.5", "true", "01", '["A"]'])
def test_a_text_that_is_named_is_that_name_whatever_it_looks_like(word: str, typed: bool) -> None:
    assert read_label(word, "label", typed=typed, names={word}) == Reading(word, "name")


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("text", SEVERAL)
def test_lists_and_objects_in_a_cell_are_several_labels(text: str, typed: bool) -> None:
    assert read_label(text, "label", typed=typed) == NoLabel("several", text)


@pytest.mark.parametrize("value", [["A", "B"], {"choices": ["A"]}, [1, 2], ()])
def test_lists_and_objects_as_values_are_several_labels(value: Any) -> None:
    with pytest.raises(RowsRefused, match="several labels") as caught:
        labels_of(["A", value, "B", value])
    assert (caught.value.extra["row_indexes"], caught.value.extra["count"]) == ([1, 3], 2)


@pytest.mark.parametrize("text", ["(unsure)", "{a}", "[x", "a, b"])
def test_names_with_brackets_are_names(text: str) -> None:
    assert read_label(text, "label", typed=False) == Reading(text, "name")


@pytest.mark.parametrize("text", ["3.5", "1e3", "+1", "01", "007", ".5", "-1.5"])
def test_numbers_that_are_no_class_numbers_are_refused_in_csv(text: str) -> None:
    with pytest.raises(BrokenRow, match="no class label") as caught:
        read_label(text, "label", typed=False)
    assert "label_names" in caught.value.hint


def test_texts_that_look_like_numbers_are_names_where_values_have_types() -> None:
    assert labels_of(["1", "0"]) == ["1", "0"]
    assert labels_of(["1", "0.0", "2"], untyped=True) == [1, 0, 2]


def test_truth_values_are_classes_and_the_data_set_says_so() -> None:
    for rows in (labelled([True, False]), labelled(["True", "FALSE"], untyped=True)):
        assert [row["label"] for row in rows] == [1, 0]
        assert rows.label_form == "truth"
        assert [problem.code for problem in rows.problems] == ["truth_labels"]


@pytest.mark.parametrize(
    ("labels", "untyped"),
    [([1, "1"], False), ([1, "spam"], False), ([True, 0], False), (["1", "spam"], True), (["true", "1"], True)],
)
def test_labels_of_two_forms_are_refused_by_row(labels: list[Any], untyped: bool) -> None:
    with pytest.raises(RowsRefused, match="Row 1"):
        labels_of(labels, untyped=untyped)


def test_names_come_before_numbers() -> None:
    assert labels_of(["2", "1"], untyped=True, label_names=["1", "2"]) == ["2", "1"]
    assert labels_of(["True", "False"], untyped=True, label_names=["True", "False"]) == ["True", "False"]
    with pytest.raises(LabelUnknown):
        labels_of(["x"], label_names=["y"])


@pytest.mark.parametrize(
    ("label", "names"), [(1, ["1", "2"]), (0, ["5", "4", "3"]), (True, ["True", "False"]), (False, ["yes", "no"])]
)
def test_a_number_that_may_be_meant_as_a_name_is_refused(label: Any, names: list[str]) -> None:
    with pytest.raises(RowsRefused, match="Row 0") as caught:
        labels_of([label], label_names=names)
    assert "as texts" in caught.value.hint
    assert labels_of([label], label_names=names, numbered=True) == [int(label)]


def test_names_that_stand_at_their_own_place_are_not_ambiguous() -> None:
    assert not is_ambiguous("number", ["0", "1", "2"])
    assert not is_ambiguous("number", ["negative", "positive"])
    assert not is_ambiguous("truth", ["false", "true"])
    assert is_ambiguous("number", ["1 ", "1"]) is False
    assert is_ambiguous("number", ["0", "2"])


def test_all_rows_without_a_label_are_counted_with_what_they_hold() -> None:
    with pytest.raises(RowsRefused) as caught:
        labels_of(["a", None] + ["NaN"] * 30 + ["-"])
    assert caught.value.extra["count"] == 32
    assert caught.value.extra["row_indexes"] == list(range(1, 21))
    assert caught.value.extra["values"] == {"NaN": 30, "-": 1}
    assert "32 rows have no label" in caught.value.detail


@pytest.mark.parametrize(
    ("labels", "joined"),
    [
        (["A", "B", "A;B"], ["A;B"]),
        (["A", "A|C"], ["A|C"]),
        (["A, B", "B", "A"], ["A, B"]),
        (["x;y", "y;z"], ["x;y", "y;z"]),
        (["yes, sir", "yes"], []),
        (["x,y", "x,z", "z,y"], ["x,y", "x,z", "z,y"]),
        (["Paris, France", "Lyon, France", "Rome, Italy"], []),
        (["a;b", "c"], []),
        (["A", "B"], []),
    ],
)
def test_labels_that_are_several_are_found(labels: list[str], joined: list[str]) -> None:
    assert find_joined(labels) == joined


def test_in_a_column_of_labels_one_part_that_comes_again_is_enough() -> None:
    assert find_joined(["x,y", "x", "z"]) == []
    assert find_joined(["x,y", "x", "z"], is_plural=True) == ["x,y"]
    assert find_joined(["Arts, Culture", "Sport"], is_plural=True) == []


def test_rows_with_joined_labels_are_refused_but_for_names_that_are_given() -> None:
    labels = ["A", "A;B", "B", "A;B"]
    with pytest.raises(RowsRefused, match="2 rows have several labels in one cell") as caught:
        labels_of(labels)
    assert caught.value.extra["row_indexes"] == [1]
    assert labels_of(labels, label_names=["A", "B", "A;B"]) == labels


def test_labels_that_differ_in_case_or_spaces_are_named() -> None:
    rows = labelled(["Spam", "spam ", "ham"])
    list(rows)
    (problem,) = rows.problems
    assert (problem.code, problem.names, problem.rows) == ("similar_labels", ("Spam", "spam "), (0, 1))


def test_labels_that_look_alike_and_are_spelt_with_other_characters_are_named() -> None:
    rows = labelled(["caf\u00e9", "cafe\u0301", "bar"])
    list(rows)
    (problem,) = rows.problems
    assert (problem.code, problem.names) == ("similar_labels", ("caf\u00e9", "cafe\u0301"))


def test_a_column_of_names_that_names_nothing_is_named() -> None:
    rows = [{"text": "a", "label": 0, "label_text": "x"}, {"text": "b", "label": 0, "label_text": "y"}]
    found = normalise_rows(rows, choose_columns(list(rows[0])))
    list(found)
    (problem,) = found.problems
    assert (problem.code, problem.names, problem.rows) == ("label_names_not_learnt", ("label_text",), (1,))


@pytest.mark.parametrize("value", [2.5, float("inf"), 10**400, -1, "x" * 2000])
def test_what_is_no_class_at_all_is_refused(value: Any) -> None:
    with pytest.raises(DatainfError, match="Row 0"):
        labels_of([value])


@pytest.mark.parametrize("text", ["0,5", "1,000", "-1,5", "1,000.5", "01", "3.5"])
def test_numbers_with_marks_are_no_names_of_classes(text: str) -> None:
    with pytest.raises(BrokenRow, match="no class label"):
        labels_of([text, "1"], untyped=True)
    assert labels_of([text], untyped=True, label_names=[text, "x"]) == [text]


@pytest.mark.parametrize("word", ["#VALUE!", "#REF!", "#DIV/0!", "undefined"])
def test_what_spreadsheets_write_for_a_broken_cell_is_no_class(word: str) -> None:
    with pytest.raises(RowsRefused, match="no label"):
        labels_of(["a", word])


def test_a_class_below_zero_is_told_what_it_may_be() -> None:
    with pytest.raises(DatainfError, match="out of range") as caught:
        labels_of([1, -1])
    assert "write 0 and 1" in caught.value.hint


def test_a_number_to_predict_is_written_with_a_point() -> None:
    rows = [{"text": "a", "stars": "0,5"}]
    columns = choose_columns(["text", "stars"], {"text": "text", "score": "stars"})
    with pytest.raises(BrokenRow) as caught:
        list(normalise_rows(rows, columns, text_types={}))
    assert "a point" in caught.value.hint


@pytest.mark.parametrize(
    ("labels", "is_said"),
    [([1, 2, 3], True), ([2, 1], True), ([1, 5], True), ([0, 1], False), ([1, 1], False), ([2, 3], False)],
)
def test_class_numbers_that_begin_with_one_are_said(labels: list[int], is_said: bool) -> None:
    rows = labelled(labels)
    assert [row["label"] for row in rows] == labels
    assert [problem.code == "labels_from_one" for problem in rows.problems] == [True] * is_said


@pytest.mark.parametrize("outside", ["NONE", "none", "-", "_"])
def test_tokens_outside_of_all_spans_may_be_called_otherwise(outside: str) -> None:
    book = TagBook()
    assert book.read([outside, "PER"], "tags", role="tags", typed=True) == [outside, "PER"]
    with pytest.raises(LabelUnknown, match=outside):
        TagBook(["O", "PER"]).check([outside])


def test_a_tag_that_is_a_word_for_nothing_is_one_where_it_is_given() -> None:
    with pytest.raises(BrokenRow, match="'nan'"):
        TagBook().read(["nan", "PER"], "tags", role="tags", typed=True)
    assert TagBook(["nan", "PER"]).read(["nan"], "tags", role="tags", typed=True) == ["nan"]
