"""The `datainf` command. Starts fast: neither torch nor pyarrow nor fastapi is loaded here."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.client.service import DEFAULT_URL, Service
from cli.commands.audit import check_target, read_top, run_audit, show_audit
from cli.commands.build import BuildOptions, build, show_index
from cli.commands.evaluate import evaluate_command
from cli.commands.query import ask, choose_source, make_body, parse_checkpoint, parse_object
from cli.commands.serve import API_COMMAND, WORKER_COMMAND, ServeOptions, serve
from cli.commands.status import read_overview, read_resource, show_overview, show_resource
from cli.commands.sweep import show_sweep, sweep
from cli.options import (
    ApiKey,
    AsJson,
    AskedIndex,
    BaseModelName,
    DampingScale,
    DatasetId,
    Examples,
    MaxLength,
    PointsDataset,
    PointsFile,
    PointsRows,
    Target,
    Texts,
    Url,
    given,
    parse_names,
)
from cli.printing.output import Output
from cli.printing.tables import show_query
from influence.contracts.audit import Audit, AuditedRow
from influence.contracts.common import Json
from influence.contracts.index import Index
from influence.contracts.query import Query
from influence.contracts.sweep import Sweep, SweepRequest
from influence.errors import InvalidRequest

app = typer.Typer(
    help="Ask a fine-tuned model which training rows taught it a behaviour.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command("serve")
def serve_command(
    host: Annotated[str, typer.Option(envvar="DATAINF_HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="DATAINF_PORT", min=0, max=65535, help="Port; 0 takes a free one.")
    ] = 8321,
    data_dir: Annotated[
        Path, typer.Option(envvar="DATAINF_DATA_DIR", file_okay=False, help="Where everything is kept.")
    ] = Path(".datainf"),
    workers: Annotated[
        int, typer.Option(min=0, max=64, help="Worker launchers; each runs one process a GPU, or one on the CPU.")
    ] = 1,
) -> None:
    """Run everything on this machine: the API, a worker and, unless DATAINF_REDIS_URL is set, a Redis-protocol server.

    Ctrl-C or SIGTERM ends it in order and exits with 0; a second one kills and exits with 130. Exit code 1: it could
    not start or a part kept dying.
    """
    with Output().reporting():
        code = serve(ServeOptions(host, port, data_dir, workers))
    raise typer.Exit(code)


@app.command("api")
def api_command() -> None:
    """Run only the API, configured by DATAINF_* variables."""
    _replace_process(API_COMMAND)


@app.command("worker")
def worker_command() -> None:
    """Run only the worker processes of this machine, configured by DATAINF_* variables."""
    _replace_process(WORKER_COMMAND)


def _replace_process(command: tuple[str, ...]) -> None:
    # A file app.py in the current folder must not be taken for ours.
    os.execve(command[0], list(command), {**os.environ, "PYTHONSAFEPATH": "1"})


@app.command("build")
def build_command(
    base_model: BaseModelName = None,
    adapter: Annotated[Path | None, typer.Option(help="PEFT adapter: its folder, or a zip of it.")] = None,
    trainable: Annotated[
        list[str] | None,
        typer.Option(help="Instead of --adapter: a trained module of a plain model, with * and ?; may be given again."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Training rows: JSONL, JSON array, CSV or Parquet.")] = None,
    checkpoint_id: Annotated[str | None, typer.Option(help="Instead of --base-model and what goes with it.")] = None,
    dataset_id: DatasetId = None,
    columns: Annotated[
        str | None, typer.Option(help='JSON, role to column: \'{"text": "body", "label": "y"}\'.')
    ] = None,
    label_names: Annotated[
        str | None, typer.Option(help="Class names in the head's order: a,b,c or a JSON list.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="sequence_classification or causal_lm.")] = None,
    revision: Annotated[str | None, typer.Option(help="Hub revision of the base model.")] = None,
    storage: Annotated[str | None, typer.Option(help="auto, full or compact.")] = None,
    storage_dtype: Annotated[str | None, typer.Option(help="float32 or float16, for full storage.")] = None,
    code_dtype: Annotated[str | None, typer.Option(help="int8 or float16, for compact storage.")] = None,
    rank: Annotated[int | None, typer.Option(min=1, help="Basis vectors a block, for compact storage.")] = None,
    max_length: MaxLength = None,
    on_too_long: Annotated[str | None, typer.Option(help="truncate or fail.")] = None,
    precision: Annotated[str | None, typer.Option(help="float32 or bfloat16.")] = None,
    loss: Annotated[str | None, typer.Option(help="Tokens that carry loss: completion, assistant or all.")] = None,
    on_non_finite: Annotated[str | None, typer.Option(help="fail or skip.")] = None,
    kronecker: Annotated[
        bool, typer.Option("--kronecker", help="Also collect what method ekfac needs; full storage only.")
    ] = False,
    grow_from: Annotated[
        str | None, typer.Option(help="A compact index (idx_...) whose rows are kept: only new ones are computed.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Watch the build until it is done.")] = True,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Send an adapter (or name what was trained of a plain model) and its training rows, and build the index."""
    output = Output(as_json=as_json)
    settings = {
        "storage": storage,
        "storage_dtype": storage_dtype,
        "code_dtype": code_dtype,
        "rank": rank,
        "max_length": max_length,
        "on_too_long": on_too_long,
        "precision": precision,
        "loss": loss,
        "on_non_finite": on_non_finite,
        "kronecker": kronecker or None,
        "grow_from": grow_from,
    }
    with output.reporting(), Service(url, api_key) as service:
        options = BuildOptions(
            base_model=base_model,
            adapter=adapter,
            trainable=trainable,
            checkpoint_id=checkpoint_id,
            data=data,
            dataset_id=dataset_id,
            task=task,
            revision=revision,
            columns=parse_object(columns, "--columns") if columns else None,
            label_names=parse_names(label_names) if label_names else None,
            index=given(settings),
        )
        index = build(service, options, output, wait=wait)
        if as_json:
            output.show_json(index)
        else:
            show_index(Index.model_validate(index), output)


@app.command("query")
def query_command(
    index_id: AskedIndex,
    text: Texts = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Its label, a name or a class number; one for each --text.")
    ] = None,
    example: Examples = None,
    file: PointsFile = None,
    dataset: PointsDataset = None,
    rows: PointsRows = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Rows a ranking.")] = 10,
    order: Annotated[str | None, typer.Option(help="helpful, harmful, absolute or both.")] = None,
    method: Annotated[str | None, typer.Option(help="datainf, hessian_free, ...")] = None,
    target: Target = None,
    aggregate: Annotated[str | None, typer.Option(help="'each' test point, or their 'mean'.")] = None,
    damping_scale: DampingScale = None,
    checkpoint: Annotated[
        list[str] | None, typer.Option(help="idx_...=0.001: sum over these indexes by weight, the asked one too.")
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Ask which training rows taught the model this."""
    output = Output(as_json=as_json)
    settings: Json = {
        "k": k,
        "order": order,
        "method": method,
        "target": target,
        "aggregate": aggregate,
        "damping_scale": damping_scale,
    }
    with output.reporting(), Service(url, api_key) as service:
        settings["checkpoints"] = [parse_checkpoint(text) for text in checkpoint] if checkpoint else None
        source = choose_source(
            texts=text or [], labels=label or [], examples=example or [], file=file, dataset=dataset, rows=rows
        )
        query = ask(service, index_id, make_body(source, settings), output)
        if as_json:
            output.show_json(query)
        else:
            show_query(Query.model_validate(query), output.results)


@app.command("audit")
def audit_command(
    index_id: Annotated[str, typer.Argument(help="The index whose rows are audited (idx_...).")],
    evaluation: Annotated[
        str | None,
        typer.Option(help="Data set of rows whose labels are trusted (ds_...): adds influence on their loss."),
    ] = None,
    signals: Annotated[
        str | None, typer.Option(help="loss,self_influence,influence,margin,probability,predicted; all if left out.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="JSON: how much each signal counts in suspicion, e.g. '{\"loss\": 2}'.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="Of influence and self-influence: datainf, exact, ...")] = None,
    damping_scale: DampingScale = None,
    top: Annotated[int, typer.Option(min=0, max=10_000, help="Rows to show, the most suspicious first.")] = 20,
    out: Annotated[Path | None, typer.Option(help="Write all rows here: .csv, .jsonl or .parquet.")] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Ask which labels of the training rows look wrong."""
    output = Output(as_json=as_json)
    with output.reporting(), Service(url, api_key) as service:
        media_type = None if out is None else check_target(out)
        settings: Json = {
            "evaluation": None if evaluation is None else {"dataset_id": evaluation},
            "signals": [name.strip() for name in signals.split(",")] if signals else None,
            "weights": parse_object(weights, "--weights") if weights else None,
            "method": method,
            "damping_scale": damping_scale,
        }
        body = given(settings)
        audit = run_audit(service, index_id, body, output)
        rows = read_top(service, audit["id"], top)
        if out is not None and media_type is not None:
            service.download(f"/v1/audits/{audit['id']}/table", out, media_type=media_type)
            output.note(f"Table       {out}")
        if as_json:
            output.show_json({**audit, "top": rows})
        else:
            show_audit(Audit.model_validate(audit), [AuditedRow.model_validate(row) for row in rows], output)


@app.command("sweep")
def sweep_command(
    index_id: AskedIndex,
    text: Texts = None,
    label: Annotated[list[str] | None, typer.Option(help="Its label; one for each --text.")] = None,
    example: Examples = None,
    file: PointsFile = None,
    dataset: PointsDataset = None,
    rows: PointsRows = None,
    method: Annotated[str | None, typer.Option(help="datainf, exact, joint, ...")] = None,
    target: Target = None,
    damping_scale: Annotated[
        list[float] | None, typer.Option(help="Compare this damping; given 2 to 20 times. A grid when left out.")
    ] = None,
    evaluation: Annotated[
        str | None, typer.Option(help="An lds evaluation of this index (eval_...); its newest when left out.")
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Ask how much a method's rankings depend on its damping, and which damping agrees best with retraining."""
    output = Output(as_json=as_json)
    settings: Json = {
        "method": method,
        "target": target,
        "damping_scales": damping_scale or None,
        "evaluation_id": evaluation,
    }
    with output.reporting(), Service(url, api_key) as service:
        source = choose_source(
            texts=text or [], labels=label or [], examples=example or [], file=file, dataset=dataset, rows=rows
        )
        found = sweep(service, index_id, make_body(source, settings, SweepRequest, "sweep"), output)
        if as_json:
            output.show_json(found)
        else:
            show_sweep(Sweep.model_validate(found), output.results)


app.command("evaluate")(evaluate_command)


@app.command("status")
def status_command(
    resource_id: Annotated[
        str | None, typer.Argument(help="An id: ckpt_, ds_, idx_, qry_, swp_, eval_, aud_ or job_.")
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show the service with its indexes and jobs, or one resource."""
    output = Output(as_json=as_json)
    with output.reporting(), Service(url, api_key) as service:
        found = read_overview(service) if resource_id is None else read_resource(service, resource_id)
        if as_json:
            output.show_json(found)
        elif resource_id is None:
            show_overview(found, output)
        else:
            show_resource(resource_id, found, output)


@app.command("cancel")
def cancel_command(
    job_id: Annotated[str, typer.Argument(help="The job to end (job_...).")],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """End a job and remove what it made so far."""
    output = Output(as_json=as_json)
    with output.reporting(), Service(url, api_key) as service:
        if not job_id.startswith("job_"):
            raise InvalidRequest(f"{job_id[:80]!r} is not a job's id.", hint="See the jobs: datainf status.")
        found = service.delete(f"/v1/jobs/{job_id}")
        if as_json:
            output.show_json(found)
        else:
            output.say(f"{job_id}: {found.get('state', 'cancelled')}")


if __name__ == "__main__":
    sys.exit(app())
