"""DoRA, rslora, patterns of ranks and of alphas together."""

from support.uploads.cases import LLAMA, assert_right, case_folder, read_json
from support.uploads.local_service import LocalService


def test_it_gives_the_scores_of_what_peft_loads(service: LocalService) -> None:
    case = case_folder("16-passing-lora-variants")
    checkpoint = service.checkpoint(LLAMA, case / "adapter")
    index = service.index(checkpoint, service.dataset(case / "rows.jsonl"), storage="full")
    assert_right(service.scores(index, read_json(case / "test.json")), case)
