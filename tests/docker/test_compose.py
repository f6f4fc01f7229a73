"""The deployment's files, as far as they can be held to something without an engine."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import ApiSettings
from cli.main import app
from influence.store import keys
from workers.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return read


@pytest.mark.parametrize("name", ["api", "worker", "worker-gpu", "redis"])
def test_every_container_is_unprivileged_and_read_only(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"]
    assert not str(service["user"]).startswith(("0", "root"))
    assert "privileged" not in service
    assert service["tmpfs"]
    assert service["healthcheck"]["test"]


def test_only_the_api_is_published_and_by_default_only_to_this_machine(compose: dict[str, Any]) -> None:
    published = {name: service.get("ports") for name, service in compose["services"].items() if service.get("ports")}
    assert published == {"api": ["${DATAINF_PUBLISH:-127.0.0.1:8321}:8321"]}
    assert compose["networks"]["back"]["internal"] is True
    assert compose["services"]["redis"]["networks"] == ["back"]


def test_gpu_worker_starts_only_under_its_profile(compose: dict[str, Any]) -> None:
    assert compose["services"]["worker-gpu"]["profiles"] == ["gpu"]
    assert "profiles" not in compose["services"]["worker"]
    device = compose["services"]["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"][0]
    assert device["capabilities"] == ["gpu"]


def test_api_and_workers_share_uploads_and_every_volume_is_declared(compose: dict[str, Any]) -> None:
    for name in ("api", "worker", "worker-gpu"):
        assert compose["services"][name]["volumes"] == ["data:/data", "models:/models"]
    named = {
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service["volumes"]
        if not volume.startswith(".")
    }
    assert named == set(compose["volumes"])


def test_variables_are_settings_that_exist(compose: dict[str, Any]) -> None:
    for name, settings in (("api", ApiSettings), ("worker", WorkerSettings), ("worker-gpu", WorkerSettings)):
        variables = compose["services"][name]["environment"]
        unknown = {key for key in variables if key.removeprefix("DATAINF_").lower() not in settings.model_fields}
        assert not unknown, name


def test_secrets_come_from_the_environment_and_the_example_names_them(compose: dict[str, Any]) -> None:
    text, example = (ROOT / "docker-compose.yml").read_text(), (ROOT / ".env.example").read_text()
    required = set(re.findall(r"\$\{(\w+):\?", text))
    assert required == {"DATAINF_API_KEYS", "REDIS_API_PASSWORD", "REDIS_WORKER_PASSWORD"}
    for name in required | set(re.findall(r"\$\{(\w+)", text)):
        assert re.search(rf"^#?{name}=", example, re.MULTILINE), name


def test_commands_of_the_containers_are_commands_of_ours(compose: dict[str, Any]) -> None:
    ours = {command.name for command in app.registered_commands}
    for name in ("api", "worker", "worker-gpu"):
        assert compose["services"][name]["command"][0] in ours


def test_acl_patterns_cover_every_key_that_we_make() -> None:
    template = (ROOT / "docker" / "redis" / "users.acl.template").read_text()
    patterns = [part[1:-1] for part in re.findall(r"~\S+", template)]
    assert all(keys.PREFIX.startswith(patterns[0]) or keys.QUEUE_NAMESPACE.startswith(found) for found in patterns)
    assert {keys.PREFIX, keys.QUEUE_NAMESPACE} == set(patterns)


@pytest.mark.parametrize("name", ["api", "worker"])
def test_image_is_built_in_stages_and_runs_as_nobody_special(name: str) -> None:
    lines = read_instructions(ROOT / "docker" / f"Dockerfile.{name}")
    stages = [arguments for instruction, arguments in lines if instruction == "FROM"]
    assert len(stages) == 2
    assert ("USER", "10001:10001") in lines
    assert {"HEALTHCHECK", "ENTRYPOINT", "STOPSIGNAL"} <= {instruction for instruction, _ in lines}
    for instruction, arguments in lines:
        if instruction == "COPY" and not arguments.startswith("--from"):
            for source in [part for part in shlex.split(arguments) if not part.startswith("--")][:-1]:
                assert (ROOT / source).exists() or source == "README.md", source


def test_api_image_holds_neither_workers_nor_torch() -> None:
    text = (ROOT / "docker" / "Dockerfile.api").read_text()
    instructions = read_instructions(ROOT / "docker" / "Dockerfile.api")
    assert not any("workers" in arguments or "[worker]" in arguments for _, arguments in instructions)
    assert "TORCH" not in text


def read_instructions(path: Path) -> list[tuple[str, str]]:
    """(instruction, arguments) with continued lines joined."""
    text = re.sub(r"\\\n\s*", "", "\n".join(line for line in path.read_text().splitlines() if line[:1] != "#"))
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]  # type: ignore[misc]
