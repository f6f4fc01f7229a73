"""Tools and a system prompt in columns of their own."""

import json

from support.uploads.cases import LLAMA, case_folder, read_rows
from support.uploads.local_service import LocalService

CASE = "05-tools-and-system-columns"
TOOLS = (
    '[{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": '
    '{"city": {"type": "string"}}}}}]'
)
CALL = '<call>{"name": "get_weather", "arguments": {"city": "Oslo", "unit": null}}</call>'
WITH_TOOLS = (
    f"<|im_start|>system\nTools: {TOOLS}<|im_end|>\n<|im_start|>user\nweather?<|im_end|>\n"
    f"<|im_start|>assistant\n{CALL}<|im_end|>\n"
)
WITH_SYSTEM = (
    "<|im_start|>system\nYou are a pirate.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
    "<|im_start|>assistant\narr<|im_end|>\n"
)


def rendered(service: LocalService, name: str) -> str:
    case = case_folder(CASE)
    checkpoint = service.checkpoint(LLAMA, case / "adapter")
    (row,) = service.preview(checkpoint, service.dataset(case / name))["rows"]
    return str(row["rendered"])


def test_the_template_reads_tools_and_nulls_in_arguments(service: LocalService) -> None:
    assert rendered(service, "tools.jsonl") == WITH_TOOLS


def test_the_system_prompt_comes_first(service: LocalService) -> None:
    assert rendered(service, "system.jsonl") == WITH_SYSTEM


def test_tools_are_found_beside_named_messages_and_left_out_by_name(service: LocalService) -> None:
    file = case_folder(CASE) / "tools.jsonl"
    named = service.dataset(file, columns='{"messages": "messages"}')
    assert named["id"] == service.dataset(file)["id"]
    without = service.dataset(file, columns='{"messages": "messages", "tools": ""}')
    assert without["metadata_columns"] == {"tools": "json"}
    (problem,) = without["problems"]
    assert (problem["code"], problem["names"], problem["rows"]) == ("columns_not_read", ["tools"], [0])


def test_a_test_point_may_bring_tools(service: LocalService) -> None:
    case = case_folder(CASE)
    checkpoint = service.checkpoint(LLAMA, case / "adapter")
    index = service.index(checkpoint, service.dataset(case / "tools.jsonl"), storage="full", max_length=512)
    (row,) = read_rows(case / "tools.jsonl")
    with_tools, without = (
        service.query(index, examples=[example])["results"][0] for example in (row, {"messages": row["messages"]})
    )
    assert with_tools["example"]["tools"] == json.loads(TOOLS)
    assert with_tools["loss"] != without["loss"]
