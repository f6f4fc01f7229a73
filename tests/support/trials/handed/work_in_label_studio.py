"""Label Studio's own library takes a configuration and tasks, someone chooses, and its exporter writes them.

Run as a file: `work_in_label_studio.py FOLDER`, with config.xml, tasks.json and choices.json (by row) in it; writes
FOLDER/out/.
"""

import json
import sys
from pathlib import Path
from typing import Any

from label_studio_sdk.converter import Converter
from label_studio_sdk.label_interface import LabelInterface
from label_studio_sdk.label_interface.objects import AnnotationValue


def main(folder: Path) -> None:
    config = (folder / "config.xml").read_text(encoding="utf-8")
    interface = LabelInterface(config)
    interface.validate()
    choices: dict[str, str] = json.loads((folder / "choices.json").read_text())
    tasks = [
        work_on(interface, task, choices.get(str(task["data"]["row_index"])))
        for task in json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    ]
    worked = folder / "worked.json"
    worked.write_text(json.dumps(tasks), encoding="utf-8")
    Converter(config, project_dir=str(folder)).convert_to_json(str(worked), str(folder / "out"), is_dir=False)


def work_on(interface: Any, task: dict[str, Any], choice: str | None) -> dict[str, Any]:
    """A task as Label Studio keeps it once somebody chose; what was decided before has to be valid, too."""
    given = [{"completed_by": 1, **annotation} for annotation in task.pop("annotations", [])]
    assert interface.validate_task(task), task
    made = [annotate(interface, choice)] if choice is not None else []
    annotations = [*given, *made]
    assert all(interface.validate_annotation(annotation) for annotation in annotations), annotations
    return {**task, "annotations": annotations}


def annotate(interface: Any, choice: str) -> dict[str, Any]:
    region = interface.get_control("label").label(choice)
    return dict(AnnotationValue(completed_by=1, result=[region]).model_dump())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
