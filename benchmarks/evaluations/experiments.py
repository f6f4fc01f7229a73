"""What is asked of training: one command an experiment, and the pages that they stand on."""

import shlex
from dataclasses import dataclass
from pathlib import Path

_LDS = (
    "datainf,hessian_free,cosine,exact,joint,proximal,datainf@compact16,exact@compact16,proximal@compact16,"
    "datainf@compact64,exact@compact64,proximal@compact64,hessian_free*3,datainf*3,exact*3,proximal*3,proximal@compact64*3"
)
_OTHERS = "ekfac,relative,exact:1,proximal:1,proximal:10,joint:10"
_NOISY = "--rows 600 --test-points 100 --flip-share 0.1 --seeds 0,1,2"


@dataclass(frozen=True)
class Experiment:
    """One command; `picture` of its report is shown on the page. Without `data` its rows are made up."""

    name: str
    title: str
    kind: str
    data: str | None
    test: str | None
    options: str
    picture: str | None = None

    def arguments(self, shared: Path, made_up: Path = Path()) -> list[str]:
        folder = made_up if self.data is None else shared / "data" / self.data
        test = self.test or "test"
        files = ["--data", str(folder / "train.jsonl"), "--evaluation-data", str(folder / f"{test}.jsonl")]
        return ["evaluate", self.kind, *files, *shlex.split(self.options)]


EXPERIMENTS = (
    Experiment(
        "lds-sst2",
        "Agreement with retraining, SST-2",
        "lds",
        "sst2",
        "validation",
        f"{_NOISY} --subsets 48 --methods '{_LDS}'",
        "lds",
    ),
    Experiment(
        "lds-banking10",
        "Agreement with retraining, BANKING10",
        "lds",
        "banking10",
        "validation",
        f"{_NOISY} --subsets 24 --epochs 10 --methods '{_LDS}'",
        "lds",
    ),
    Experiment(
        "lds-sst2-others",
        "Other methods and dampings, SST-2",
        "lds",
        "sst2",
        "validation",
        f"{_NOISY} --subsets 48 --methods '{_OTHERS}'",
    ),
    Experiment(
        "lds-banking10-others",
        "Other methods and dampings, BANKING10",
        "lds",
        "banking10",
        "validation",
        f"{_NOISY} --subsets 24 --epochs 10 --methods '{_OTHERS}'",
    ),
    Experiment(
        "mislabelled-sst2",
        "Finding wrong labels, SST-2",
        "mislabelled",
        "sst2",
        "validation",
        "--rows 1000 --test-points 100 --flip-share 0.2 --seeds 0,1,2",
        "recall",
    ),
    Experiment(
        "mislabelled-banking10",
        "Finding wrong labels, BANKING10",
        "mislabelled",
        "banking10",
        "validation",
        "--rows 1000 --test-points 100 --flip-share 0.2 --seeds 0,1,2 --epochs 10",
    ),
    Experiment(
        "leave-out-sst2",
        "Leaving out helpful rows, SST-2",
        "leave-out",
        "sst2",
        "validation",
        "--rows 600 --test-points 100 --flip-share 0.1 --counts 60,120 --repeats 3 --seeds 0",
        "leave-out",
    ),
    Experiment(
        "correlation-sst2",
        "Agreement with the exact solve, SST-2",
        "correlation",
        "sst2",
        "validation",
        "--rows 600 --test-points 100 --seeds 0,1,2 --ranks 1,2,4,8",
        "correlation",
    ),
    Experiment(
        "correlation-banking10",
        "Agreement with the exact solve, BANKING10",
        "correlation",
        "banking10",
        "validation",
        "--rows 600 --test-points 100 --seeds 0 --ranks 1,2,4,8 --epochs 10",
    ),
    Experiment(
        "class-attribution",
        "Class attribution, sentence transformations",
        "class-attribution",
        "sentence_transformations",
        "test",
        """--columns '{"prompt": "prompt", "completion": "completion", "class": "variation"}' --seeds 0,1,2""",
    ),
)

_CLASS = '{"prompt": "prompt", "completion": "completion", "class": "class"}'
_SEEDS = "--rows 600 --test-points 100 --flip-share 0.1 --subsets 24 --seeds"
_SHORT = "--rows 600 --test-points 100 --flip-share 0.1 --subsets 16 --seeds"


def _early(last: int) -> str:
    """What is asked at the last epoch, after the second, and summed over the first three."""
    at_last = ("datainf", "proximal", "cosine", "preconditioned")
    at_second = ("datainf", "hessian_free", "cosine", "exact", "proximal", "preconditioned", "preconditioned@compact25")
    summed = ("proximal", "preconditioned", "preconditioned@compact16")
    names = [
        *(f"{name}#{last}" for name in at_last),
        *(f"{name}#2" for name in at_second),
        *(f"{name}#1+2+3" for name in summed),
    ]
    return f"--epochs {last} --methods '{','.join(names)}'"


EARLY = (
    Experiment("early-sms", "SMS spam, first two seeds", "lds", "sms_spam", "validation", f"{_SEEDS} 0,1 {_early(6)}"),
    Experiment("early-sst2", "SST-2, other seeds", "lds", "sst2", "validation", f"{_SEEDS} 1,2 {_early(6)}"),
    Experiment(
        "early-banking10",
        "BANKING10, another seed",
        "lds",
        "banking10",
        "validation",
        f"{_SHORT} 1 {_early(10)}",
    ),
    Experiment(
        "early-sst2-r4",
        "SST-2, LoRA of rank 4",
        "lds",
        "sst2",
        "validation",
        f"{_SHORT} 0 --lora-rank 4 {_early(6)}",
    ),
    Experiment(
        "early-sst2-r16",
        "SST-2, LoRA of rank 16",
        "lds",
        "sst2",
        "validation",
        f"{_SHORT} 0 --lora-rank 16 {_early(6)}",
    ),
    Experiment(
        "early-sst2-sgd",
        "SST-2, trained by gradient descent",
        "lds",
        "sst2",
        "validation",
        f"{_SHORT} 0 --optimizer sgd --learning-rate 0.1 {_early(6)}",
    ),
    Experiment(
        "early-sst2-plain",
        "SST-2, the last layer's attention and the pooler trained themselves, without LoRA",
        "lds",
        "sst2",
        "validation",
        f"{_SHORT} 0 --trainable '*.layer.5.attention,bert.pooler' --learning-rate 5e-4 {_early(6)}",
    ),
)


_MODEL = "--base-model smollm2-135m --rows 200 --test-points 40"
_JUDGED = ("datainf", "proximal", "preconditioned", "cosine", "hessian_free", "exact")


def _reduced(training: str, other: str, retrain_seeds: int = 1) -> str:
    """An LDS trained by one reduction of losses on tokens, and scored by both."""
    methods = ",".join([*_JUDGED, *(f"{name}={other}" for name in _JUDGED)])
    return (
        f"--columns '{_CLASS}' --base-model smollm2-135m --rows 300 --test-points 40 --epochs 1 --batch-rows 8 "
        f"--learning-rate 1e-3 --max-length 64 --reduction {training} --subsets 20 "
        f"--retrain-seeds {retrain_seeds} --methods '{methods}'"
    )


LANGUAGE_MODEL = (
    Experiment(
        "lm-classes",
        "Class attribution: ten kinds of instruction",
        "class-attribution",
        None,
        None,
        f"--columns '{_CLASS}' {_MODEL} --epochs 3 --max-length 128",
    ),
    Experiment(
        "lm-lds",
        "Agreement with retraining, trained by the tokens of a batch",
        "lds",
        None,
        None,
        _reduced("sum", "mean"),
    ),
    Experiment(
        "lm-lds-means",
        "Agreement with retraining, every row alike",
        "lds",
        None,
        None,
        _reduced("mean", "sum", retrain_seeds=2),
    ),
)


@dataclass(frozen=True)
class Page:
    """A page of docs/benchmarks: `reading`, written by people, above the experiments' reports.

    `packaged` is a model that comes as a package and is converted before the service starts.
    """

    name: str
    reading: str
    experiments: tuple[Experiment, ...]
    packaged: str | None = None


PAGES = {
    page.name: page
    for page in (
        Page("evaluations", "reading.md", EXPERIMENTS),
        Page("early_checkpoints", "early_reading.md", EARLY),
        Page("language_model", "language_model_reading.md", LANGUAGE_MODEL, packaged="smollm2-135m"),
    )
}
