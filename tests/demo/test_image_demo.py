"""The demo's drawings, figures and training: what they claim, on a few steps."""

from pathlib import Path

import numpy as np
import pytest

from app.intake.archives import DEFAULT_LIMITS
from app.intake.lora_files import accept_lora, unpack_lora
from demo.images.attribution import judge, pixel_scores
from demo.images.glyphs import PLAIN, SIDE, STYLES, SUBJECTS, draw_all
from demo.images.training import make_model, train_base, train_lora
from influence.contracts.checkpoint import BaseModelRef


def test_every_subject_is_drawn_in_every_style_and_alike_from_a_seed() -> None:
    first, again, other = (draw_all(STYLES, each=2, seed=seed, name="train") for seed in (0, 0, 1))
    assert len(first) == 2 * len(STYLES) * len(SUBJECTS) == 180
    assert [glyph.to_row() for glyph in first] == [glyph.to_row() for glyph in again]
    assert first[0].to_row() != other[0].to_row()
    assert {glyph.image.size for glyph in first} == {(SIDE, SIDE)}
    assert len({glyph.id for glyph in first}) == len(first)


def test_figures_are_full_where_scores_know_the_class_and_half_where_they_say_nothing() -> None:
    train, test = (draw_all(STYLES, each=1, seed=0, name=name) for name in ("train", "test"))
    knowing = np.array([[float(one.style == asked.style) for one in train] for asked in test])
    found = judge(knowing, train, test, "style")
    assert (found.auc, found.recall) == (1.0, 1.0)
    assert found.chance == pytest.approx(1 / 3)
    assert judge(np.zeros_like(knowing), train, test, "style").auc == 0.5
    assert judge(pixel_scores(test, test), test, test, "subject").auc > 0.5


def test_what_the_demo_trains_is_taken_as_it_is(tmp_path: Path) -> None:
    heard: list[int] = []
    model = make_model(0)
    glyphs = draw_all((PLAIN,), each=1, seed=0, name="base")
    train_base(model, glyphs, steps=2, seed=0, report=lambda done, steps, loss: heard.append(done))
    model.save(tmp_path / "base")
    train_lora(model, glyphs, tmp_path / "lora", steps=2, seed=0, report=lambda done, steps, loss: heard.append(done))
    assert heard == [1, 2, 1, 2]
    folder = tmp_path / "intake"
    folder.mkdir()
    (tmp_path / "lora" / "adapter_config.json").unlink()
    unpack_lora(tmp_path / "lora" / "adapter_model.safetensors", folder, DEFAULT_LIMITS)
    base = BaseModelRef(name="demo", kind="path", location=str(tmp_path / "base"), digest="any")
    checkpoint = accept_lora(folder, base, lora_alpha=8)
    assert checkpoint.pipeline is not None
    assert (checkpoint.pipeline.works_on, checkpoint.pipeline.resolution) == ("pixels", SIDE)
