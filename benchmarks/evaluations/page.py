"""A page of reports, under the reading that people wrote."""

import json
import shlex
import shutil
from pathlib import Path

from benchmarks.evaluations.experiments import Page

_HERE = Path(__file__).resolve().parent
_DOCS = _HERE.parent.parent / "docs" / "benchmarks"


def write_page(page: Page, work: Path) -> None:
    """The page of all its reports that are in `work`."""
    parts = [(_HERE / page.reading).read_text("utf-8").rstrip()]
    pictures = _DOCS / page.name
    for experiment in page.experiments:
        folder = work / experiment.name
        if not (folder / "report.md").is_file():
            continue
        command = shlex.join(["datainf", *experiment.arguments(Path("../shared"))])
        parts += [f"## {experiment.title}", f"```\n{command}\n```", body_of(folder)]
        if experiment.picture is not None:
            pictures.mkdir(exist_ok=True)
            shutil.copy(folder / "pictures" / f"{experiment.picture}.svg", pictures / f"{experiment.name}.svg")
            parts.append(f"![{experiment.title}]({page.name}/{experiment.name}.svg)")
    (_DOCS / f"{page.name}.md").write_text("\n\n".join(parts) + "\n", "utf-8")


def body_of(folder: Path) -> str:
    """A report without its heading, ids and pictures, its own headings one level down."""
    finished = json.loads((folder / "report.json").read_text("utf-8"))["finished_at"][:10]
    lines = (folder / "report.md").read_text("utf-8").splitlines()[4:]
    kept = [f"#{line}" if line.startswith("#") else line for line in lines if not line.startswith("![")]
    return f"*{finished}*\n\n" + "\n".join(kept).strip()
