"""A small HTTP server that speaks the contract, over a real socket, and remembers what it was sent."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

NOW = "2026-01-01T00:00:00Z"
HOSTILE = "\x1b[2J[red]boo[/red]\u202e\nnext"
KEY = "a-key-of-some-length"


def job(state: str, done: int = 0) -> dict[str, Any]:
    progress = {"phase": "gradients", "done": done, "total": 800, "unit": "rows", "rate": 200.0, "eta_seconds": 2.0}
    error = {"code": "row_masked", "detail": "Row 7 is masked.", "hint": "Drop it."} if state == "failed" else None
    return {
        "id": "job_1",
        "kind": "index",
        "resource_id": "idx_1",
        "resource": "/v1/indexes/idx_1",
        "state": state,
        "progress": progress,
        "error": error,
        "created_at": NOW,
    }


def index(state: str, growth: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "id": "idx_1",
        "job_id": "job_1",
        "state": state,
        "rows": 800,
        "rows_indexed": 800,
        "bytes": 800_000,
        "spec": {"checkpoint_id": "ckpt_1", "dataset_id": "ds_1", "storage": "full"},
        "created_at": NOW,
        "warnings": [HOSTILE],
        "timings": {"gradient_seconds": 4.0, "rows_per_second": 200.0},
        "new_field": 1,
        "growth": growth,
    }


def run() -> dict[str, Any]:
    weights = {10: 0.5, 20: 0.0, 30: 0.25}
    return {
        "id": "run_1",
        "base_model": {"name": "b", "kind": "path", "location": "/b"},
        "task": "causal_lm",
        "checkpoints": [
            {"checkpoint_id": f"ckpt_{step}", "folder": f"checkpoint-{step}", "step": step, "weight": weight}
            for step, weight in weights.items()
        ],
        "weights_from": "learning_rate",
        "warnings": [HOSTILE],
        "created_at": NOW,
    }


def evaluation(request: dict[str, Any], *, finished: bool) -> dict[str, Any]:
    table = {
        "name": "methods",
        "title": HOSTILE,
        "columns": ["method", "AUC", "AUC low", "AUC high"],
        "rows": [["[bold]x" + HOSTILE, 0.7123, 0.69, 0.73]],
        "note": HOSTILE,
    }
    line = {"label": "a", "x": [0.0], "y": [1.0]}
    picture = {"name": "auc", "title": "AUC", "x_label": "x", "y_label": "y", "series": [line]}
    report = {"tables": [table], "pictures": [picture], "reading": ["It works. " + HOSTILE], "figures": {"auc": 0.7123}}
    return {
        "id": "eval_1",
        "job_id": "job_1",
        "state": "succeeded" if finished else "queued",
        "request": request,
        "subject": {"task": "causal_lm", "base_model": None, "dataset_id": "ds_1"},
        "pieces": 4,
        "report": report if finished else None,
        "created_at": NOW,
        "new_field": 1,
    }


def ranked(rank: int, score: float) -> dict[str, Any]:
    return {
        "rank": rank,
        "row_index": rank,
        "row_id": f"r{rank}",
        "row": {"text": HOSTILE, "label": "[bold]x"},
        "label": "[bold]x",
        "influence": -score,
        "score": score,
        "percentile": 50.0,
        "exact": True,
        "direction": "helpful" if score > 0 else "harmful",
    }


def query(request: dict[str, Any], *, answered: bool) -> dict[str, Any]:
    result = {
        "example": {"text": "where is my refund", "label": "billing"},
        "loss": 0.5,
        "predicted_label": "shipping",
        "predicted_probability": 0.75,
        "helpful": [ranked(1, 2.5), ranked(2, 1.5)],
        "harmful": [ranked(3, -3.5)],
        "histogram": {"hist": [1], "bin_edges": [0.0, 1.0]},
        "summary": {},
        "compared": [
            {"method": method, "overlap": 0.5, "spearman": 0.25, "rows": [ranked(1, 0.875)]}
            for method in request.get("compare", [])
        ],
    }
    return {
        "id": "qry_1",
        "index_id": "idx_1",
        "job_id": "job_1",
        "state": "succeeded" if answered else "running",
        "request": request,
        "method": "datainf",
        "rows_scored": 800,
        "milliseconds": {"total": 42.0},
        "checkpoints": [{**chosen, "checkpoint_id": "ckpt_1"} for chosen in request.get("checkpoints", [])],
        "results": [result] if answered else None,
        "created_at": NOW,
        "sign_convention": "score>0 is helpful",
    }


def sweep(request: dict[str, Any], *, answered: bool) -> dict[str, Any]:
    rows = [
        {
            "damping_scale": scale,
            "is_default": scale == 1.0,
            "spearman_with_default": agreed,
            "overlap_with_default": agreed,
        }
        for scale, agreed in ((0.5, 0.875), (1.0, 1.0))
    ]
    result = {"rows": rows, "spearman": [[1.0, 0.875], [0.875, 1.0]], "top": 10, "test_points": 2, "rows_scored": 800}
    return {
        "id": "swp_1",
        "index_id": "idx_1",
        "job_id": "job_1",
        "state": "succeeded" if answered else "queued",
        "request": request,
        "method": "exact",
        "damping_scales": [0.5, 1.0],
        "default_damping_scale": 1.0,
        "storage": "full",
        "result": result if answered else None,
        "created_at": NOW,
    }


def audit(*, finished: bool, has_scores: bool) -> dict[str, Any]:
    classes = [
        {
            "label": "[bold]x",
            "rows": 40,
            "mean_loss": 1.5,
            "accuracy": 0.75,
            "mean_suspicion": 0.6,
            "most_suspicious": [{"row_index": 7, "row_id": HOSTILE, "suspicion": 1.0}],
        }
    ]
    return {
        "id": "aud_1",
        "index_id": "idx_1",
        "job_id": "job_1",
        "state": "succeeded" if finished else "queued",
        "request": {},
        "method": "datainf",
        "dataset_id": "ds_1",
        "kind": "classification",
        "created_at": NOW,
        "task": "sequence_classification",
        "rows": 41,
        "rows_audited": 40 if finished else None,
        "signals": [{"name": "influence" if has_scores else "loss", "meaning": "It says.", "weight": 0.0}],
        "not_audited": ["r40"],
        "accuracy": 0.75,
        "classes": classes if finished else None,
        "notes": [HOSTILE],
    }


def audited(row_index: int, *, has_scores: bool) -> dict[str, Any]:
    scores = {"influence": 2.0, "score": -2.0, "direction": "harmful"} if has_scores else {}
    return {
        "row_index": row_index,
        "row_id": f"r{row_index}",
        "row": {"text": HOSTILE, "label": "[bold]x"},
        "suspicion": 1.0 - row_index / 40,
        "label": "[bold]x",
        "predicted_label": HOSTILE,
        "predicted_probability": 0.93,
        "loss": 4.25,
        **scores,
    }


@dataclass
class ContractServer:
    """`ending` is the state that its one job ends in; `events` and `prompt` switch what it answers by."""

    url: str = ""
    ending: str = "succeeded"
    events: bool = True
    prompt: bool = True
    existing: bool = False
    growth: dict[str, Any] | None = None
    has_scores: bool = True
    refusal: Response | None = None
    sent: list[tuple[str, str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    polls: int = 0

    def bodies(self, path: str) -> list[Any]:
        return [body for _, called, body in self.sent if called == path]

    async def answer(self, request: Request) -> Response:
        path = request.url.path
        self.sent.append((request.method, path, await self._read(request)))
        self.headers.append(dict(request.headers))
        if self.refusal is not None:
            return self.refusal
        if path == "/v1/audits/aud_1/rows":
            return self._audited_rows(int(request.query_params["offset"]))
        return self._route(request.method, path)

    def _audited_rows(self, offset: int) -> Response:
        """Pages of two rows out of five."""
        shown = range(offset, min(offset + 2, 5))
        data = [audited(row, has_scores=self.has_scores) for row in shown]
        more = shown.stop < 5
        return JSONResponse({"data": data, "has_more": more, "next": shown.stop if more else None, "rows": 5})

    async def _read(self, request: Request) -> Any:
        if request.headers.get("content-type", "").startswith("multipart/"):
            async with request.form() as form:
                return {
                    name: value if isinstance(value, str) else (value.filename, await value.read())
                    for name, value in form.items()
                }
        body = await request.body()
        return json.loads(body) if body else None

    def _route(self, method: str, path: str) -> Response:
        match method, path.strip("/").split("/"):
            case "POST", ["v1", "checkpoints"]:
                made = {"id": "ckpt_1", "parameters": 74496, "task": "sequence_classification"}
                return JSONResponse(made, 201)
            case "POST", ["v1", "runs"]:
                return JSONResponse(run(), 201)
            case "POST", ["v1", "datasets"]:
                made = {"id": "ds_1", "rows": 800, "kind": "classification", "problems": [{"message": HOSTILE}]}
                return JSONResponse(made, 201)
            case "POST", ["v1", "indexes"]:
                return JSONResponse(index("succeeded"), 200) if self.existing else JSONResponse(index("queued"), 202)
            case "POST", ["v1", "indexes", _, "queries"]:
                return JSONResponse(query(self.sent[-1][2], answered=self.prompt), 200 if self.prompt else 202)
            case "POST", ["v1", "evaluations", "cost"]:
                return JSONResponse({"trainings": 8, "steps": 1200, "seconds": 90.4})
            case "POST", ["v1", "evaluations"]:
                return JSONResponse(evaluation(self.sent[-1][2], finished=False), 202)
            case "GET", ["v1", "evaluations", _]:
                return JSONResponse(evaluation(self.bodies("/v1/evaluations")[-1], finished=True))
            case "GET", ["v1", "evaluations", _, "report.md"]:
                return Response("# report\n", media_type="text/markdown")
            case "GET", ["v1", "evaluations", _, "pictures", name]:
                return Response(f"picture {name}")
            case "POST", ["v1", "indexes", _, "sweeps"]:
                return JSONResponse(sweep(self.sent[-1][2], answered=False), 202)
            case "GET", ["v1", "sweeps", _]:
                return JSONResponse(sweep({"examples": [{"text": "x"}]}, answered=True))
            case "GET", ["v1", "queries", _]:
                return JSONResponse(query({"examples": [{"text": "x"}]}, answered=True))
            case "POST", ["v1", "indexes", _, "audits"]:
                return JSONResponse(audit(finished=False, has_scores=self.has_scores), 202)
            case "GET", ["v1", "audits", _]:
                return JSONResponse(audit(finished=True, has_scores=self.has_scores))
            case "GET", ["v1", "audits", _, "table"]:
                return Response("row_index,row_id\r\n0,r0\r\n", media_type=self.headers[-1]["accept"])
            case "GET", ["v1", "indexes"]:
                return JSONResponse({"data": [index("succeeded")], "has_more": False, "next": None})
            case "GET", ["v1", "indexes", _]:
                return JSONResponse(index("succeeded", self.growth))
            case "GET", ["v1", "jobs"]:
                return JSONResponse({"data": [job("running", 400)], "has_more": False, "next": None})
            case "GET", ["v1", "jobs", _, "events"]:
                return self._events()
            case "GET", ["v1", "jobs", _]:
                self.polls += 1
                return JSONResponse(job(self.ending, 800))
            case "DELETE", ["v1", "jobs", _]:
                return JSONResponse(job("cancelled"))
            case "GET", ["health", "ready"]:
                return JSONResponse({"status": "unsafe", "workers": 1, "notes": ["Redis may evict."]}, 503)
        return problem(404, "not_found", f"There is no {path}.")

    def _events(self) -> Response:
        if not self.events:
            return Response("broken", 502)
        told = [("progress", job("queued")), ("progress", job("running", 400)), ("done", job(self.ending, 800))]
        text = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n: waiting\n\n" for name, data in told)
        return Response(text, media_type="text/event-stream")


def problem(status: int, code: str, detail: str) -> Response:
    content = {"status": status, "code": code, "title": "No", "detail": detail, "hint": f"Do better {HOSTILE}."}
    return JSONResponse(content, status, media_type="application/problem+json")


@contextmanager
def running() -> Iterator[ContractServer]:
    """The server on a free port of this machine."""
    served = ContractServer()
    routes = [Route("/{path:path}", served.answer, methods=["GET", "POST", "DELETE"])]
    server = uvicorn.Server(
        uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=0, log_level="error", ws="none", lifespan="off")
    )
    socket = server.config.bind_socket()
    socket.listen()
    served.url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        yield served
    finally:
        server.should_exit = True
        thread.join()
        socket.close()
