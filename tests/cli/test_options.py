"""Options come from the contracts; their names do not change."""

import inspect
from collections.abc import Callable
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from typer.main import get_command

from cli.main import app
from cli.options.fields import Spelling, options_of
from influence.contracts.audit import AuditRequest
from influence.contracts.evaluation.experiment import EvaluationRequest, LdsRequest
from influence.contracts.index import IndexRequest
from influence.contracts.query import QueryRequest
from influence.contracts.sweep import SweepRequest

POINTS = "--text --label --example --file --dataset --rows"
#: Options of the same name that mean more than the field.
OWN = ("rows", "checkpoint_id", "dataset_id")
COMMON = "--url --api-key --json"
NAMES = {
    "serve": "--host --port --data-dir --workers",
    "api": "",
    "worker": "",
    "build": f"""--base-model --adapter --trainable --data --checkpoint-id --dataset-id --columns --label-names --task
        --revision --storage --storage-dtype --code-dtype --rank --max-length --on-too-long --precision --loss
        --on-non-finite --kronecker --grow-from --wait {COMMON}""",
    "query": f"""{POINTS} --k -k --order --method --target --span --against --aggregate --damping-scale --checkpoint
        {COMMON}""",
    "audit": f"--evaluation --signals --weights --method --damping-scale --top --out {COMMON}",
    "sweep": f"{POINTS} --method --target --span --against --damping-scale --evaluation {COMMON}",
    "evaluate": f"""--index --base-model --data --evaluation-data --dataset-id --evaluation-dataset-id --columns
        --label-names --rows --test-points --seeds --methods --ranks --flip-share --subsets --subset-share --counts
        --drop --repeats --epochs --learning-rate --batch-rows --lora-rank --lora-alpha --max-length --out --wait
        {COMMON}""",
    "status": COMMON,
    "cancel": COMMON,
}


def options(command: str) -> dict[str, Any]:
    """Every option of a command by each of its names."""
    found = get_command(app).commands[command].params  # type: ignore[attr-defined]
    return {name: option for option in found for name in option.opts}


@pytest.mark.parametrize("command", sorted(NAMES))
def test_names_that_people_have_in_their_scripts_stay(command: str) -> None:
    assert set(NAMES[command].split()) <= set(options(command))


@pytest.mark.parametrize(
    ("command", "model"),
    [("build", IndexRequest), ("query", QueryRequest), ("audit", AuditRequest), ("sweep", SweepRequest)],
)
def test_help_is_the_contract_s_description(command: str, model: type[BaseModel]) -> None:
    found = {option.name: option for option in options(command).values()}
    shared = [name for name in model.model_fields if name in found and name not in OWN]
    assert len(shared) >= 4
    for name in shared:
        description = model.model_fields[name].description
        assert description, f"{model.__name__}.{name} has no description"
        assert description in found[name].help


def test_every_setting_of_an_evaluation_can_be_written_and_says_what_it_does() -> None:
    found = {option.name: option for option in options("evaluate").values()}
    for kind in get_args(get_args(EvaluationRequest)[0]):
        for name in set(kind.model_fields) - {"lora", "recipe", "row_indexes", "evaluation_row_indexes", "predicted"}:
            assert found[name].help, name
    assert found["subsets"].help.startswith("lds, calibrate:")


def test_a_default_is_shown_where_all_kinds_share_it() -> None:
    found = options("evaluate")
    assert "[default: 100]" in found["--test-points"].help
    assert "default" not in found["--subsets"].help


def test_what_is_left_out_is_not_sent_and_what_is_given_is_read() -> None:
    def double(text: str, option: str) -> list[int]:
        assert option == "--twice"
        return [int(text)] * 2

    made = options_of(
        LdsRequest, only=("subsets", "seeds", "drop"), spelled={"seeds": Spelling(("--twice",), read=double)}
    )
    assert [parameter.name for parameter in made.parameters] == ["subsets", "seeds"]
    assert made.read({"subsets": None, "seeds": None}) == {}
    assert made.read({"subsets": 8, "seeds": "3"}) == {"subsets": 8, "seeds": [3, 3]}


def test_fields_of_a_part_make_that_part() -> None:
    made = options_of(IndexRequest, only=("rank",), within="index")
    assert made.read({"rank": 4}) == {"index": {"rank": 4}}
    assert made.read({"rank": None}) == {}
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in made.parameters)


def test_commands_keep_their_description() -> None:
    callbacks: list[Callable[..., Any] | None] = [info.callback for info in app.registered_commands]
    assert all(callback is not None and callback.__doc__ for callback in callbacks)
