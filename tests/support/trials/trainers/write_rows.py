"""Let a trainer itself encode conversations for training: `write_rows.py in_swift|in_factory IN OUT`.

IN has a tokenizer's folder and cases: the settings that the trainer's file would have, and messages. OUT gets, of each
case, ids and labels, -100 where no loss falls.
"""

import importlib
import json
import sys
from pathlib import Path


def main(trainer: str, given: str, written: str) -> None:
    encode = importlib.import_module(trainer).encode
    asked = json.loads(Path(given).read_text())
    found = [encode(asked["tokenizer"], case["settings"], case["messages"]) for case in asked["cases"]]
    Path(written).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
