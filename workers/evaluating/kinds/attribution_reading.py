"""What the figures of a class attribution mean, in sentences, and what they do not."""

from influence.contracts.common import Json

CHANCE_AUC = 0.5
#: Rows of a class stand at both ends where size tells them apart so much better than score (difference of AUC).
_BOTH_ENDS = 0.1
#: From this share on it counts as the rule that a prompt names its class.
_MOST = 0.5
_RANKED = {"auc": "by score", "auc_by_size": "by size"}


def of_images(figures: Json) -> bool:
    """Whether gradients were taken of a picture's loss and square, not of completions and prompts."""
    return "square" in figures["scopes"]


def make_reading(figures: Json) -> tuple[str, ...]:
    """Sentences for people, from the figures of the report."""
    return _read_images(figures) if of_images(figures) else _read_texts(figures)


def _read_texts(figures: Json) -> tuple[str, ...]:
    completion, prompt = best_line(figures, "completion"), best_line(figures, "prompt")
    found = [
        f"With the loss on the completion, where training put it, {describe(completion, figures)}",
        f"With the loss on the prompt, {describe(prompt, figures)}",
    ]
    if completion["auc_by_size"]["mean"] - completion["auc"]["mean"] > _BOTH_ENDS:
        found.append(
            "Rows of the class stand at both ends of the ranking: some help and some harm. Look at both ends; AUC by"
            " score counts a harmful row of the class as a miss and is lower for that reason."
        )
    if figures["test_loss"] >= figures["test_loss_before"]:
        found.append(
            f"Fine-tuning did not lower the loss of the test rows ({figures['test_loss_before']:.2f} before,"
            f" {figures['test_loss']:.2f} after): it taught this model its training rows and not their classes, so that"
            " the figures say little about models that learn more."
        )
    if figures["prompts_naming_class"] >= _MOST:
        found.append(_about_prompts(figures))
    if figures["baselines"]:
        likeness = _best_baseline(figures)
        best = max((completion["auc"], completion["auc_by_size"]), key=lambda area: area["mean"])
        found.append(
            f"What merely reads alike reaches AUC {_interval(likeness['auc'])} ('{likeness['method']}'): "
            + (
                "gradients tell classes apart that likeness does not."
                if best["low"] > likeness["auc"]["high"]
                else "finding rows of a class takes no gradient here. What a row taught is another question: ask 'lds'."
            )
        )
    found.append(_about_intervals(figures))
    found.append("That rows share a class does not show that they taught the answer; only training without them can.")
    return tuple(found)


def _read_images(figures: Json) -> tuple[str, ...]:
    """What gradients of images tell that a look at the pixels does not."""
    by_loss, by_square = best_line(figures, "loss"), best_line(figures, "square")
    likeness = _best_baseline(figures)
    return (
        f"By the loss that training lowers, {describe(by_loss, figures)}",
        f"By the square of the output, {describe(by_square, figures)} That is the gradient of no loss.",
        f"What merely looks alike reaches AUC {_interval(likeness['auc'])} ('{likeness['method']}'): "
        + (
            "gradients tell classes apart that pixels do not."
            if by_loss["auc"]["low"] > likeness["auc"]["high"]
            else "gradients of the loss are not ahead of it."
        ),
        _about_intervals(figures),
        "That images share a class does not show that they taught the model; 'lds' trains without them and tells.",
    )


def _best_baseline(figures: Json) -> Json:
    found: Json = max(figures["baselines"], key=lambda line: line["auc"]["mean"])
    return found


def best_line(figures: Json, scope: str) -> Json:
    """The method that tells the class apart best under a loss, by score or by size."""
    lines: list[Json] = [line for line in figures["methods"] if line["loss"] == scope]
    return max(lines, key=lambda line: max(line["auc"]["mean"], line["auc_by_size"]["mean"]))


def describe(line: Json, figures: Json) -> str:
    """The best method with its figures, and whether they differ from chance."""
    share, chance = line["recall"]["mean"], figures["recall_by_chance"]
    told = (
        f"{line['method']} tells rows of the test row's class apart best: AUC {_interval(line['auc_by_size'])} by the"
        f" score's size and {_interval(line['auc'])} by score; of as many most helpful rows as the class has,"
        f" {share:.0%} are of it, by chance {chance:.0%}."
    )
    if max(line["auc"]["low"], line["auc_by_size"]["low"]) <= CHANCE_AUC:
        return f"{told} That AUC cannot be told from chance, {CHANCE_AUC}: do not read a class out of these scores."
    return told


def _about_prompts(figures: Json) -> str:
    """Why figures of the prompt say nothing about the answer, also where they are not the higher ones."""
    named = (
        f"{figures['prompts_naming_class']:.0%} of the test prompts hold the name of their class in words. A gradient"
        " of the prompt's loss compares those words, whatever was answered: read its lines as how well prompts are told"
        " apart, not as where an answer comes from."
    )
    better = [ranked for what, ranked in _RANKED.items() if _is_above(figures, what, "prompt", "completion")]
    if better:
        told = " and ".join(better)
        return f"{named} That is how a loss on the prompt gets better figures {told} than the answer gives."
    if all(_is_above(figures, what, "completion", "prompt") for what in _RANKED):
        return f"{named} Here the rest of the prompt drowns them: the answer tells more."
    return named


def _is_above(figures: Json, what: str, higher: str, lower: str) -> bool:
    """Whether the best figure under one loss lies above the best under another, intervals and all."""
    best = {
        scope: max((line[what] for line in figures["methods"] if line["loss"] == scope), key=lambda area: area["mean"])
        for scope in (higher, lower)
    }
    return bool(best[higher]["low"] > best[lower]["high"])


def _about_intervals(figures: Json) -> str:
    seeds = len(figures["seeds"])
    made = (
        "one was made; ask for several seeds" if seeds == 1 else f"{seeds} were made, and the figures are their means"
    )
    return (
        f"The intervals are over the {figures['test_points']} test rows. They do not say how much another training"
        f" would change: {made}."
    )


def _interval(figure: Json) -> str:
    return f"{figure['mean']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"
