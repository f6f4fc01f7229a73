"""What a class attribution says in words follows from its figures."""

from typing import Any

from workers.evaluating.kinds.attribution_reading import make_reading


def line(scope: str, by_score: float, by_size: float, method: str = "exact") -> dict[str, Any]:
    def around(value: float) -> dict[str, float]:
        return {"mean": value, "low": value - 0.01, "high": value + 0.01}

    return {
        "method": method,
        "loss": scope,
        "auc": around(by_score),
        "auc_by_size": around(by_size),
        "recall": around(0.3),
        "recall_by_size": around(0.4),
    }


def read(
    *lines: dict[str, Any],
    named: float = 1.0,
    seeds: tuple[int, ...] = (0,),
    test_loss: float = 1.0,
    alike: float | None = None,
) -> str:
    figures = {
        "scopes": ["completion", "prompt"],
        "methods": lines,
        "baselines": [] if alike is None else [line("", alike, alike, "embedding")],
        "recall_by_chance": 0.1,
        "test_points": 50,
        "seeds": list(seeds),
        "prompts_naming_class": named,
        "test_loss_before": 2.0,
        "test_loss": test_loss,
    }
    return " ".join(make_reading(figures))


def test_the_best_method_is_named_with_its_figures() -> None:
    told = read(line("completion", 0.6, 0.62, "datainf"), line("completion", 0.7, 0.72), line("prompt", 0.6, 0.6))
    assert (
        "where training put it, exact tells rows of the test row's class apart best: AUC 0.720 (0.710 to 0.730)" in told
    )
    assert "30% are of it, by chance 10%" in told
    assert "both ends" not in told


def test_a_class_that_stands_at_both_ends_is_told() -> None:
    assert "Look at both ends" in read(line("completion", 0.51, 0.83), line("prompt", 0.5, 0.5))


def test_chance_is_called_chance() -> None:
    told = read(line("completion", 0.5, 0.505), line("prompt", 0.5, 0.6))
    assert told.count("cannot be told from chance") == 1


def test_prompts_that_name_the_class_are_explained_whichever_loss_wins() -> None:
    better = read(line("completion", 0.6, 0.7), line("prompt", 0.9, 0.95))
    assert "better figures by score and by size than the answer gives" in better
    mixed = read(line("completion", 0.5, 0.9), line("prompt", 0.7, 0.8))
    assert "better figures by score than the answer gives" in mixed
    assert "the answer tells more" in read(line("completion", 0.7, 0.9), line("prompt", 0.6, 0.7))
    unsure = read(line("completion", 0.6, 0.9), line("prompt", 0.6, 0.9))
    assert "100% of the test prompts" in unsure
    assert "the answer" not in unsure.split("apart, not as where an answer comes from.")[1].split("The intervals")[0]
    assert "of the test prompts hold" not in read(line("completion", 0.6, 0.7), line("prompt", 0.9, 0.95), named=0.1)


def test_training_that_taught_no_test_row_is_told() -> None:
    lines = line("completion", 0.6, 0.7), line("prompt", 0.6, 0.7)
    assert "did not lower the loss of the test rows (2.00 before, 2.10 after)" in read(*lines, test_loss=2.1)
    assert "did not lower" not in read(*lines)


def test_one_training_says_nothing_about_another() -> None:
    lines = line("completion", 0.6, 0.7), line("prompt", 0.6, 0.7)
    assert "one was made" in read(*lines)
    assert "3 were made" in read(*lines, seeds=(0, 1, 2))


def test_what_reads_alike_is_held_against_the_answers_gradients() -> None:
    lines = line("completion", 0.6, 0.7), line("prompt", 0.9, 0.9)
    assert "AUC 0.650 (0.640 to 0.660) ('embedding'): gradients tell classes apart" in read(*lines, alike=0.65)
    assert "takes no gradient here" in read(*lines, alike=0.69)  # the intervals touch
    assert "alike" not in read(*lines)
