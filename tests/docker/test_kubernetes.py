"""The manifests for Kubernetes, held to the schemas of the versions that are run and to what the images take."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import ApiSettings
from cli.main import app
from workers.settings import WorkerSettings

DOCKER = Path(__file__).resolve().parents[2] / "docker"
MANIFESTS = sorted((DOCKER / "kubernetes").glob("*.yaml"))
VERSIONS = ("1.29", "1.33")


def read(path: Path) -> list[dict[str, Any]]:
    return [part for part in yaml.safe_load_all(path.read_text()) if part]


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in MANIFESTS:
        for part in read(path):
            if part["kind"] in ("Deployment", "StatefulSet"):
                yield part["metadata"]["name"], part["spec"]["template"]["spec"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.skipif(find_spec("kubernetes_validate") is None, reason="kubernetes-validate is not installed")
def test_a_manifest_is_one_of_its_kind(path: Path, version: str) -> None:
    import kubernetes_validate  # of the extra 'dev'

    for part in read(path):
        kubernetes_validate.validate(part, version, strict=True)


def test_the_kustomization_names_every_manifest_and_the_real_files_of_redis() -> None:
    (kustomization,) = read(DOCKER / "kustomization.yaml")
    assert sorted(kustomization["resources"]) == [f"kubernetes/{path.name}" for path in MANIFESTS]
    (generated,) = kustomization["configMapGenerator"]
    assert sorted(generated["files"]) == sorted(f"redis/{path.name}" for path in (DOCKER / "redis").iterdir())


def test_every_pod_is_unprivileged_and_read_only() -> None:
    names = []
    for name, pod in pods():
        names.append(name)
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]
            assert container.keys() & {"livenessProbe", "readinessProbe"}
    assert sorted(names) == ["api", "redis", "worker"]


@pytest.mark.parametrize(("name", "settings"), [("api", ApiSettings), ("worker", WorkerSettings)])
def test_commands_and_settings_are_the_product_s(name: str, settings: type[ApiSettings | WorkerSettings]) -> None:
    container = dict(pods())[name]["containers"][0]
    assert container["args"] == [name]
    assert name in {command.name for command in app.registered_commands}
    given = {entry["name"] for entry in container["env"] if entry["name"].startswith("DATAINF_")}
    assert given <= {f"DATAINF_{field.upper()}" for field in settings.model_fields}
    assert "DATAINF_REDIS_URL" in given


def test_the_patch_for_gpus_changes_a_worker_that_exists() -> None:
    component = DOCKER / "kubernetes" / "gpu"
    (patch,) = read(component / "worker.yaml")
    (scaling,) = read(component / "scaling.yaml")
    names = {name for name, _ in pods()}
    assert {patch["metadata"]["name"], scaling["spec"]["scaleTargetRef"]["name"]} <= names
    assert "datainf_queue_depth" in scaling["spec"]["triggers"][0]["metadata"]["query"]


def test_the_component_for_object_stores_patches_what_exists_and_leaves_no_claim_in_use() -> None:
    component = DOCKER / "kubernetes" / "object-store"
    (kustomization,) = read(component / "kustomization.yaml")
    patches = [read(component / patch["path"])[0] for patch in kustomization["patches"]]
    claims = {part["metadata"]["name"] for part in read(DOCKER / "kubernetes" / "storage.yaml")}
    deployments = [patch for patch in patches if patch["kind"] == "Deployment"]
    assert {patch["metadata"]["name"] for patch in deployments} == {"api", "worker"}
    assert {patch["metadata"]["name"] for patch in patches if patch["kind"] != "Deployment"} == {"data"} <= claims
    for patch in deployments:
        pod = patch["spec"]["template"]["spec"]
        (container,), (volume,) = pod["containers"], pod["volumes"]
        (bound,) = (entry for entry in container["env"] if entry["name"] == "DATAINF_FILES_CACHE_BYTES")
        assert int(bound["value"]) < int(volume["emptyDir"]["sizeLimit"].removesuffix("Gi")) << 30
        assert volume["persistentVolumeClaim"] is None
        mounts = dict(pods())[container["name"]]["containers"][0]["volumeMounts"]
        assert volume["name"] in {mount["name"] for mount in mounts}


def test_redis_keeps_more_memory_than_it_gives_away() -> None:
    container = dict(pods())["redis"]["containers"][0]
    most = int(container["args"][1].removesuffix("gb"))
    assert int(container["resources"]["limits"]["memory"].removesuffix("Gi")) > most
