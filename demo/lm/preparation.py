"""Everything before the service: the packaged model is converted, a LoRA of it is trained; kept for the next run."""

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from demo.lm.lessons import Lesson, make_lessons, write_lessons
from influence.checkpoint_files.base_models import converted_folder, find_packaged
from influence.errors import Unavailable

ALIAS = "smollm2-135m"


@dataclass(frozen=True)
class Prepared:
    """The rows and their file, and the trained adapter; `seconds` is None where an earlier run trained."""

    lessons: list[Lesson]
    rows: Path
    adapter: Path
    seconds: float | None


def prepare(home: Path, data_dir: Path, seed: int) -> Prepared:
    """Convert, write and train, or find all of it done. `data_dir` is the service's.

    Raises BaseModelNotFound without the package, and Unavailable where one of the steps fails.
    """
    find_packaged(ALIAS)
    folder, base = home / f"lessons-{seed}", converted_folder(data_dir, ALIAS)
    lessons, rows = make_lessons(seed), folder / "lessons.jsonl"
    prepared = Prepared(lessons, rows, folder / "adapter.zip", None)
    started = time.monotonic()
    _run("workers.process.conversion", ALIAS, str(base))
    if prepared.adapter.is_file():
        return prepared
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_lessons(lessons, rows)
    _run("demo.lm.training", str(folder), str(base), str(seed))
    return Prepared(lessons, rows, prepared.adapter, time.monotonic() - started)


def _run(module: str, *arguments: str) -> None:
    # In a process of its own: torch and the model are not to stay in memory beside the service.
    done = subprocess.run([sys.executable, "-m", module, *arguments], check=False)
    if done.returncode:
        raise Unavailable(
            f"'{module}' ended with exit code {done.returncode}.",
            hint="Its words stand above. About 3 GB of memory and 600 MB of disk are needed.",
        )
