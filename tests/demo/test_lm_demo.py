"""The demo of a language model: its rows, and how words are set off."""

from pathlib import Path
from typing import Any

from demo.lm.lessons import KINDS, QUESTIONS, make_lessons, write_lessons
from demo.lm.story import highlight
from influence.contracts.query import ScoredRow, TokenParts


def scored(tokens: TokenParts | None) -> ScoredRow:
    figures: dict[str, Any] = {"rank": 1, "row_index": 0, "influence": -0.5, "score": 0.5, "percentile": 99.0}
    return ScoredRow(**figures, row_id="robot-1", row={"prompt": "a"}, direction="helpful", exact=True, tokens=tokens)


def test_lessons_are_of_three_kinds_all_different_and_alike_from_a_seed(tmp_path: Path) -> None:
    lessons = make_lessons(3, each=40)
    assert lessons == make_lessons(3, each=40) != make_lessons(4, each=40)
    assert sorted({lesson.kind for lesson in lessons}) == sorted(KINDS)
    assert len({lesson.prompt for lesson in lessons}) == len(lessons) == 120
    assert {lesson.prompt for lesson in lessons}.isdisjoint(QUESTIONS.values())
    write_lessons(lessons, tmp_path / "rows.jsonl")
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 120


def test_words_that_count_are_set_off_and_control_characters_are_not_shown() -> None:
    told = TokenParts(
        by="loss",
        text="2 and\x1b[31m 3",
        tokens=("2", " and\x1b[31m", " 3", "</s>"),
        starts=(0, 1, 10, 12),
        stops=(1, 10, 12, 12),
        parts=(0.0, -0.2, 0.9, 0.0),
        unplaced=0.0,
    )
    shown = highlight(scored(told))
    assert "\x1b" not in shown.plain
    styles = {shown.plain[span.start : span.end].strip(): span.style for span in shown.spans}
    assert styles["3"] == "bold black on green"
    assert "red" in str(next(style for words, style in styles.items() if words.startswith("and")))
    assert "prompt" in highlight(scored(None)).plain
