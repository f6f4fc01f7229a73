"""The kinds of work are declared once, and what treats them alike knows all of them."""

from pathlib import Path
from typing import get_args

import pytest

from app.main import create_app
from app.settings import ApiSettings
from cli.client.paths import resource_path
from influence.contracts.work import KIND_OF_ACTOR, QUEUES, WORK_KINDS, JobKind, WorkKind
from influence.contracts.work_record import WorkRecord
from influence.store.data.files import Files
from influence.store.store import Store
from workers.process.actors import make_steps

every_kind = pytest.mark.parametrize("kind", WORK_KINDS, ids=lambda kind: kind.name)


def test_the_kinds_are_those_of_jobs_and_of_records() -> None:
    assert {kind.name for kind in WORK_KINDS} == set(get_args(JobKind))
    assert {kind.record for kind in WORK_KINDS} == set(WorkRecord.__subclasses__())


def test_no_two_kinds_share_a_name_a_collection_a_prefix_or_an_actor() -> None:
    for names in (
        [kind.name for kind in WORK_KINDS],
        [kind.collection for kind in WORK_KINDS],
        [kind.prefix for kind in WORK_KINDS],
        [actor for kind in WORK_KINDS for actor in kind.actors],
    ):
        assert len(set(names)) == len(names)


def test_every_actor_has_a_step_and_every_step_an_actor() -> None:
    assert set(make_steps({})) == set(KIND_OF_ACTOR)


@every_kind
def test_a_kind_has_a_queue_records_and_a_place_in_the_command(kind: WorkKind[WorkRecord], store: Store) -> None:
    assert kind.queue in QUEUES
    assert store.work[kind.name].kind is kind
    assert resource_path(f"{kind.prefix}_1") == kind.path(f"{kind.prefix}_1")


def test_records_of_all_kinds_can_be_read_and_deleted_over_http(store: Store, tmp_path: Path) -> None:
    settings = ApiSettings(redis_url=store.connections.state_url, data_dir=tmp_path)
    paths = create_app(settings, store=store, files=Files(tmp_path)).openapi()["paths"]
    for kind in WORK_KINDS:
        assert {"get", "delete"} <= set(paths[kind.path(f"{{{kind.argument}}}")]), kind.name
