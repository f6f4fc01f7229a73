"""adapter_config.json is hostile input."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from influence.checkpoint_files.config import AdapterConfig, canonical_fields, parse_adapter_config
from influence.checkpoint_files.patterns import SafePattern
from influence.checkpoint_files.selection import ModuleSelector
from influence.errors import AdapterConfigRefused

REFERENCE = Path(__file__).parents[4] / "shared" / "reference" / "sst2_r8" / "adapter" / "adapter_config.json"
PLAIN = {"peft_type": "LORA", "task_type": "SEQ_CLS", "r": 4, "lora_alpha": 8, "target_modules": ["value", "query"]}


def parse(**fields: Any) -> AdapterConfig:
    return parse_adapter_config(json.dumps({**PLAIN, **fields}).encode())


def test_config_that_peft_wrote_is_accepted() -> None:
    if not REFERENCE.is_file():
        pytest.skip("the reference adapter is not on this machine")
    config = parse_adapter_config(REFERENCE.read_bytes())
    assert (config.r, config.lora_alpha, config.target_modules) == (8, 8, ("query", "value"))


@pytest.mark.parametrize("field", ["r", "lora_alpha"])
def test_a_scale_that_is_null_is_refused(field: str) -> None:
    with pytest.raises(AdapterConfigRefused, match=field):
        parse(**{field: None})


def test_fields_of_future_versions_at_nothing_are_accepted() -> None:
    assert parse(new_a=None, new_b=False, new_c={}, new_d=[], new_e="", megatron_core="megatron.core")


def test_order_of_names_does_not_change_what_an_adapter_is() -> None:
    assert canonical_fields(parse()) == canonical_fields(parse(target_modules=["query", "value"], lora_dropout=0.5))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("layer_replication", [[0, 4], [2, 5]]),
        ("megatron_core", "os"),
        ("megatron_config", {"a": 1}),
        ("trainable_token_indices", [1, 1]),
        ("trainable_token_indices", {"a b": [1]}),
        ("trainable_token_indices", [-1]),
        ("target_parameters", "a"),
        ("target_parameters", [".*"]),
        ("alora_invocation_tokens", [1]),
        ("lora_bias", 1),
        ("use_qalora", True),
        ("use_bdlora", {"a": 1}),
        ("arrow_config", {"a": 1}),
        ("kasa_config", {"a": 1}),
        ("monteclora_config", {"a": 1}),
        ("velora_config", {"a": 1}),
        ("never_heard_of", 3),
        ("peft_type", "IA3"),
        ("peft_type", ["LORA"]),
        ("r", 0),
        ("r", 10**9),
        ("r", "8"),
        ("r", 10**400),
        ("lora_alpha", 1e300),
        ("bias", "some"),
        ("use_dora", "yes, please"),
        ("target_modules", None),
        ("target_modules", ["(a+)+$"]),
        ("target_modules", ["q", 3]),
        ("target_modules", "(a"),
        ("target_modules", "(?<=x)y"),
        ("target_modules", "(?i)query"),
        ("target_modules", r"(.)\1"),
        ("target_modules", "x" * 3000),
        ("target_modules", "(" * 900 + ")" * 900),
        ("target_modules", "((((){4000}){4000}){4000}){4000}"),
        ("target_modules", "(){1000000000}"),
        ("exclude_modules", "[z-a]"),
        ("modules_to_save", [".*"]),
        ("modules_to_save", "classifier"),
        ("layers_pattern", ["(h|layers)"]),
        ("layers_to_transform", ["a"]),
        ("rank_pattern", {"query": 0}),
        ("rank_pattern", {"(a": 4}),
        ("rank_pattern", {f"a{number}+": 4 for number in range(100)}),
        ("alpha_pattern", {"query": float("inf")}),
        ("rank_pattern", [1]),
    ],
)
def test_field_that_changes_the_model_unknown_to_us_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(AdapterConfigRefused) as caught:
        parse(**{field: value})
    assert caught.value.hint
    if value != {"query": float("inf")} and value != 10**400:
        assert caught.value.extra["field"] == field


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"null", b"[" * 100_000, b'{"r": NaN}', b"\xff\xfe", b"{" + b" " * (2 << 20) + b"}"]
)
def test_file_that_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(AdapterConfigRefused):
        parse_adapter_config(content)


@pytest.mark.parametrize(
    "pattern",
    [
        r".*\.(q|v)_proj",
        r"model\.layers\.([0-9]|1[01])\.self_attn\.[qv]_proj",
        r"(?:.*?(?:language|text).*?(?:self_attn|mlp).*?(?:q_proj|up_proj).*?)|(?:\bmodel\.layers\.[\d]{1,}\.mlp\.up_proj)",
        r"^.*(?<n>q)?_proj$".replace("?<n>", "?P<n>"),
        r"[^.]*\.layers\.\d{1,2}\.\w+\.\S*",
        r"model\.layers\.(?!0).*".replace("(?!0)", "[^0]"),
        r"^(?!.*text).*(?:q_proj|v_proj).*",
        r"^(model(?=\.).*\.(q_proj|v_proj)|text\.model(?=\.).*\.up_proj)$",
        r"(?!.*\.(?=gate)).*\.mlp\..*(?!x)",
        r"",
    ],
)
def test_patterns_mean_what_they_mean_in_python(pattern: str) -> None:
    names = [
        f"{front}model.layers.{layer}.{part}_proj"
        for front in ("", "x", "text.")
        for layer in (0, 3, 11, 12, 123)
        for part in ("self_attn.q", "self_attn.v", "mlp.up", "mlp.gate")
    ]
    safe = SafePattern(pattern, "target_modules")
    assert [safe.matches(name) for name in [*names, ""]] == [bool(re.fullmatch(pattern, name)) for name in [*names, ""]]


@given(st.text("ab.()|*+?", max_size=12), st.lists(st.text("ab.", max_size=6), max_size=4))
def test_any_small_pattern_means_what_it_means_in_python(pattern: str, names: list[str]) -> None:
    try:
        safe = SafePattern(pattern, "target_modules")
    except AdapterConfigRefused:
        return
    assert [safe.matches(name) for name in names] == [bool(re.fullmatch(pattern, name)) for name in names]


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(a|aa)+b", "(.*)*b", "(a*)*b", "(((a*)*)*)*b"])
def test_pattern_that_would_hang_python_answers_at_once(pattern: str) -> None:
    assert not SafePattern(pattern, "target_modules").matches("a" * 300)


def test_costly_pattern_runs_out_of_steps() -> None:
    pattern = SafePattern("(" + "|".join("a?" * 20 for _ in range(40)) + ")*b", "x", max_steps=100_000)
    with pytest.raises(AdapterConfigRefused, match="too long"):
        any(pattern.matches("a" * 500) for _ in range(100))


SelectCase = tuple[dict[str, Any], str, bool]
CASES: list[SelectCase] = [
    ({}, "bert.encoder.layer.0.attention.self.query", True),
    ({}, "query", True),
    ({}, "bert.layer.0.myquery", False),
    ({}, "bert.layer.0.query.inner", False),
    ({"target_modules": ["self.query"]}, "a.self.query", True),
    ({"target_modules": ["self.query"]}, "a.itself.query", False),
    ({"exclude_modules": ["layer.0.query"]}, "a.layer.0.query", False),
    ({"exclude_modules": r".*\.0\..*"}, "a.0.query", False),
    ({"modules_to_save": ["classifier"]}, "classifier.query", False),
    ({"layers_to_transform": [1, 3]}, "bert.layer.1.query", True),
    ({"layers_to_transform": [1, 3]}, "bert.layer.2.query", False),
    ({"layers_to_transform": 2}, "bert.layer.2.query", True),
    ({"layers_to_transform": [1], "layers_pattern": "h"}, "t.h.1.x.0.query", True),
    ({"layers_to_transform": [1], "layers_pattern": ["h"]}, "t.g.1.query", False),
    ({"layers_to_transform": [0], "layers_pattern": None}, "t.layers.1.experts.0.query", False),
    ({"target_modules": "all-linear"}, "any.thing", True),
    ({"target_modules": r".*attn\.(q|v)"}, "x.attn.q", True),
    ({"target_modules": r".*attn\.(q|v)"}, "x.attn.k", False),
]


@pytest.mark.parametrize(("fields", "name", "expected"), CASES)
def test_modules_are_selected_by_pefts_rules(fields: dict[str, Any], name: str, expected: bool) -> None:
    assert ModuleSelector(parse(**fields)).selects(name) is expected


@pytest.mark.parametrize(
    ("fields", "figure"),
    [
        ({}, (4, 8, 2.0)),
        ({"rank_pattern": {"layer.0.query": 2}}, (2, 8, 4.0)),
        ({"rank_pattern": {"query": 16, "layer.0.query": 2}}, (16, 8, 0.5)),
        ({"rank_pattern": {r"layer\.\d\.query": 1}, "alpha_pattern": {"query": 3}}, (1, 3, 3.0)),
        ({"rank_pattern": {"^bert.layer.0.query": 2}}, (2, 8, 4.0)),
        ({"use_rslora": True}, (4, 8, 4.0)),
    ],
)
def test_rank_alpha_and_scaling_follow_the_patterns(fields: dict[str, Any], figure: tuple[int, float, float]) -> None:
    selector, name = ModuleSelector(parse(**fields)), "bert.layer.0.query"
    figures: list[Callable[[str], float]] = [selector.rank, selector.alpha, selector.scaling]
    assert tuple(measure(name) for measure in figures) == figure
