"""Missing labels written as words; several choices in one cell."""

from support.uploads.cases import case_folder
from support.uploads.local_service import LocalService

CASE = "14-missing-labels-as-words"


def test_words_for_nothing_are_missing_labels(service: LocalService) -> None:
    answer = service.send_dataset(case_folder(CASE) / "rows.csv")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "rows_refused")
    assert problem["row_indexes"] == [1, 2, 3, 4]
    assert problem["values"] == {"nan": 1, "NULL": 1, "None": 1, "N/A": 1}


def test_words_that_are_named_as_classes_are_classes(service: LocalService) -> None:
    names = '["positive", "nan", "NULL", "None", "N/A"]'
    dataset = service.dataset(case_folder(CASE) / "rows.csv", label_names=names)
    assert len(dataset["statistics"]["labels"]) == 5


def test_a_cell_with_several_choices_is_refused_by_its_row(service: LocalService) -> None:
    answer = service.send_dataset(case_folder(CASE) / "label_studio.csv")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "rows_refused")
    assert problem["row_indexes"] == [1]
    assert "several labels" in problem["detail"]
