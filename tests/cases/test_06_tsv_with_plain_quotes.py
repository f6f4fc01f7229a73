"""A TSV in which a quotation mark is just a character."""

from support.uploads.cases import case_folder
from support.uploads.local_service import LocalService

TEXTS = ['"great stuff', "terrible mess", '... and so it ends"', "ok film"]


def test_every_line_is_a_row_with_its_quotes(service: LocalService) -> None:
    dataset = service.dataset(case_folder("06-tsv-with-plain-quotes") / "train.tsv")
    assert [(row["row"]["text"], row["row"]["label"]) for row in service.rows(dataset)] == list(
        zip(TEXTS, [1, 0, 1, 0], strict=True)
    )
    assert (dataset["format"]["delimiter"], dataset["format"]["quoting"]) == ("\t", "none")
    assert dataset["problems"] == []
