"""From a frame to a cleaned frame, with the real application and a real worker."""

from pathlib import Path

import pandas as pd
import pytest
from support.rows import make_ticket_rows
from support.service import running_worker
from support.tiny import LABELS, make_classifier

from datainf_client import Client, Dataset, Index, Query, ServiceError
from datainf_client.generated.models import Job
from influence.store.embedded import EmbeddedServer


def test_upload_index_query_audit_review_apply(
    client: Client, server: EmbeddedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.DataFrame(make_ticket_rows(48)).assign(source=["crawl", "forms"] * 24)
    tiny = make_classifier(tmp_path / "tiny")
    seen: list[Job] = []
    with running_worker(server.url, tmp_path / "data"):
        checkpoint = client.checkpoints.create(str(tiny.base), tiny.adapter, label_names=LABELS)
        dataset = client.datasets.create(frame, name="tickets")
        assert (dataset.rows, list(dataset.metadata_columns or ())) == (48, ["source"])
        index = client.indexes.create(checkpoint, dataset, max_length=64).wait(progress=seen.append)
        assert (index.state, index.rows_indexed, seen[-1].state) == ("succeeded", 48, "succeeded")
        assert client.indexes.create(checkpoint, dataset, max_length=64).id == index.id

        cost = client.evaluations.cost("lds", index=index, evaluation_dataset=dataset, subsets=8)
        assert (cost.trainings, cost.seconds is not None, list(client.evaluations)) == (8, True, [])
        query = ask(index, frame, dataset)
        audit = index.audit().wait(progress=True)
        assert "\r" in capsys.readouterr().err
        table = audit.to_pandas()
        assert list(table["row_index"]) == list(range(48))
        worst = audit.to_pandas(sort="suspicion", disagree=True)
        assert list(worst["suspicion"]) == sorted(worst["suspicion"], reverse=True)

        groups = index.group("source", dataset, row_indexes=[0, 1, 2]).wait()
        assert set(groups.to_pandas()["group"]) == {"crawl", "forms"}
        assert groups.what_if(group="crawl").rows_removed == 24

        review = audit.begin_review(name="first look")
        assert review.decide(3, "remove", by="ada").version == 1
        new = next(label for label in LABELS if label != frame["label"][5])
        review.decide([{"row_index": 5, "action": "relabel", "label": new}], by="ada")
        assert review.decide_many("remove", top=2, dry_run=True).rows <= 2
        cleaned = review.apply(frame)
        assert len(frame) == 48
        assert list(cleaned.index) == [row for row in range(48) if row != 3]
        assert cleaned["label"][5] == new
        assert cleaned.drop(index=5).equals(frame.drop(index=[3, 5]))
        derived = review.apply()
        assert (derived.rows, derived.derived_from and derived.derived_from.relabelled) == (47, 1)
        assert client.datasets.create(cleaned).rows == 47
        review.undo(by="ada")
        assert [one.row_index for one in review.read_decisions()] == [3]
        assert [one.id for one in client.reviews] == [review.id]

        found = dataset.to_pandas(where=[{"column": "source", "op": "eq", "value": "crawl"}], q="refund")
        is_found = frame["text"].str.contains("refund") & (frame["source"] == "crawl")
        assert 0 < len(found) == is_found.sum()
        other = client.indexes.create(checkpoint, dataset, max_length=32).wait()
        compared = client.indexes.compare(index, other)
        assert (compared.from_index_id, compared.to_index_id) == (index.id, other.id)
        assert index.rename("first").name == client.indexes.get(index.id).name == "first"
        assert [one.id for one in client.groups.list(index_id=index.id)] == [groups.id]

        index.delete()
        with pytest.raises(ServiceError) as gone:
            query.refresh()
        assert (gone.value.status, gone.value.code) == (404, "not_found")
        assert gone.value.hint
        assert gone.value.request_id


def ask(index: Index, frame: pd.DataFrame, dataset: Dataset) -> Query:
    """What was asked, once its answer was found to fit the frame."""
    query = index.query({"text": "refund is late", "label": LABELS[0]}, k=3)
    answer = query.to_pandas()
    assert list(answer["ranking"]) == ["helpful"] * 3 + ["harmful"] * 3
    best = answer.iloc[0]
    assert best["row_text"] == frame["text"][best["row_index"]]
    assert best["metadata_source"] == frame["source"][best["row_index"]]
    (scores,) = query.scores()
    assert scores[best["row_index"]] == pytest.approx(best["score"], rel=1e-4)
    assert best["score"] == pytest.approx(max(score for score in scores if score is not None), rel=1e-4)
    assert "<table>" in query._repr_html_()
    stored = index.query(dataset, row_indexes=[0, 1], aggregate="mean", k=1, order="helpful").wait()
    assert stored.results is not None
    assert len(stored.results) == 1
    return query


def test_work_that_fails_raises_its_own_problem(client: Client, server: EmbeddedServer, tmp_path: Path) -> None:
    tiny = make_classifier(tmp_path / "tiny")
    with running_worker(server.url, tmp_path / "data"):
        checkpoint = client.checkpoints.create(str(tiny.base), tiny.adapter, label_names=LABELS)
        dataset = client.datasets.create(
            [{"id": "long", "text": "refund " * 40, "label": LABELS[0]}, *make_ticket_rows(5)]
        )
        with pytest.raises(ServiceError) as failed:
            client.indexes.create(checkpoint, dataset, max_length=8, on_too_long="fail").wait()
    assert failed.value.code == "row_too_long"
    assert failed.value.hint


def test_work_can_be_cancelled_and_waiting_has_an_end(client: Client, tmp_path: Path) -> None:
    """No worker runs: the build stays queued."""
    tiny = make_classifier(tmp_path / "tiny")
    with pytest.raises(ServiceError, match="is not a PEFT adapter"):
        client.checkpoints.create(str(tiny.base), tiny.base)
    checkpoint = client.checkpoints.create(str(tiny.base), tiny.adapter, label_names=LABELS)
    index = client.indexes.create(checkpoint, client.datasets.create(make_ticket_rows(5)), max_length=8)
    with pytest.raises(ServiceError) as ended:
        index.wait(timeout_seconds=0.05)
    assert ended.value.code == "timed_out"
    index.cancel()
    with pytest.raises(ServiceError) as cancelled:
        index.wait()
    assert cancelled.value.code in ("cancelled", "not_found")
