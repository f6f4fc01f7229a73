"""Argilla's own library takes a folder (`from_disk`), someone answers, and it writes a folder again (`to_disk`).

Its server is stood in for by one that keeps what the library sends, for a server of Argilla needs Elasticsearch.
Run as a file: `work_in_argilla.py FOLDER`, with in/ (the folder) and choices.json (by record) in it; writes
FOLDER/out/.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import argilla

NOW = "2026-01-01T00:00:00"
ME = {"id": str(uuid4()), "username": "ada", "role": "owner"}
WORKSPACE = {"id": str(uuid4()), "name": "team", "inserted_at": NOW, "updated_at": NOW}
#: Lists by what their paths end with.
LISTS = ("fields", "questions", "vectors-settings", "metadata-properties", "records")
KEPT: dict[str, Any] = {"dataset": None, **{name: [] for name in LISTS}}


class Server(BaseHTTPRequestHandler):
    """Keeps one data set, its settings and its records."""

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        name = path.rsplit("/", 1)[1]
        if path.endswith("/me"):
            self.answer(ME)
        elif path.endswith("/me/workspaces"):
            self.answer({"items": [WORKSPACE]})
        elif path.endswith("/me/datasets"):
            self.answer({"items": []})
        elif name in LISTS:
            self.answer({"items": self.page(name)})
        else:
            self.answer(KEPT["dataset"] or WORKSPACE)

    def page(self, name: str) -> list[Any]:
        """All of a list; of the library's second question for records, none are left."""
        return [] if name == "records" and "offset=0" not in self.path else KEPT[name]

    def do_POST(self) -> None:
        made = {**self.sent(), "id": str(uuid4())}
        name = self.path.rsplit("/", 1)[1]
        if name in LISTS:
            KEPT[name].append(made)
        else:
            KEPT["dataset"] = made
        self.answer(made)

    def do_PATCH(self) -> None:
        KEPT["dataset"].update(self.sent())
        self.answer(KEPT["dataset"])

    def do_PUT(self) -> None:
        if self.path.endswith("/publish"):
            KEPT["dataset"]["status"] = "ready"
            self.answer(KEPT["dataset"])
            return
        questions = {one["name"]: one["id"] for one in KEPT["questions"]}
        for record in self.sent()["items"]:
            KEPT["records"] = [one for one in KEPT["records"] if one["external_id"] != record["external_id"]]
            for suggestion in record.get("suggestions") or []:
                assert suggestion["question_id"] in questions.values()
            KEPT["records"].append({**record, "id": str(uuid4()), "dataset_id": KEPT["dataset"]["id"]})
        self.answer({"items": KEPT["records"], "updated_item_ids": []})

    def sent(self) -> dict[str, Any]:
        return dict(json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}"))

    def answer(self, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        return


def main(folder: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    Thread(target=server.serve_forever, daemon=True).start()
    client = argilla.Argilla(api_url=f"http://127.0.0.1:{server.server_port}", api_key="key")
    dataset = argilla.Dataset.from_disk(str(folder / "in"), workspace="team", client=client)
    choices: dict[str, str] = json.loads((folder / "choices.json").read_text())
    answered = [answer(record, choices, client.me.id) for record in dataset.records(with_responses=True)]
    dataset.records.log(answered)
    (folder / "out").mkdir()
    dataset.to_disk(str(folder / "out"))
    server.shutdown()


def answer(record: Any, choices: dict[str, str], user_id: Any) -> Any:
    """The record, with what was chosen of it."""
    choice = choices.get(record.id)
    if choice is not None:
        record.responses.add(argilla.Response("label", choice, user_id=user_id, status="submitted"))
    return record


if __name__ == "__main__":
    main(Path(sys.argv[1]))
