"""docker-compose.yml and the Dockerfile, as far as they can be checked without a container engine."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def instructions(word: str) -> list[str]:
    return re.findall(rf"^{word} (.+)$", DOCKERFILE, flags=re.MULTILINE)


def test_it_has_the_servers_that_the_documents_speak_of():
    assert {"redis", "rabbitmq", "jaeger", "collector", "worker"} == set(SERVICES)


@pytest.mark.parametrize("name", [name for name in SERVICES if "image" in SERVICES[name]])
def test_an_image_is_pinned_to_a_version(name):
    """The same file starts the same servers next year."""
    assert re.search(r":\d+\.\d+\.\d+", SERVICES[name]["image"])


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "collector"])
def test_every_service_can_say_that_it_is_well(name):
    """`docker compose up --wait` waits for all of them; the collector's image has nothing to ask it with."""
    assert SERVICES[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


def test_the_worker_waits_until_its_servers_are_well():
    """Of one that cannot say so, until it has started."""
    waits = {name: wait["condition"] for name, wait in SERVICES["worker"]["depends_on"].items()}

    assert {"redis", "rabbitmq", "collector"} == set(waits)
    assert waits == {
        name: "service_healthy" if "healthcheck" in SERVICES[name] else "service_started" for name in waits
    }


def test_nothing_is_reachable_from_other_machines():
    """The images' passwords are known to everybody."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_redis_is_fit_for_durable_calls():
    """What `verified` asks of a Redis: an append-only file, and nothing evicted."""
    command = SERVICES["redis"]["command"]
    settings = dict(zip(command[1::2], command[2::2], strict=True))

    assert (settings["--appendonly"], settings["--maxmemory-policy"]) == ("yes", "noeviction")


def test_every_volume_in_use_is_declared():
    """And each keeps the data of a server over `docker compose down`."""
    mounts = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}

    assert {mount for mount in mounts if not mount.startswith(".")} == set(COMPOSE["volumes"])
    assert all((ROOT / mount).is_file() for mount in mounts if mount.startswith("."))


def test_what_the_image_copies_is_there_and_is_let_through():
    """Each source of a COPY exists and is named in .dockerignore, which lets nothing else in."""
    let_through = set((ROOT / ".dockerignore").read_text().split())
    sources = [source for line in instructions("COPY") for source in shlex.split(line)[:-1]]

    assert ROOT == (ROOT / SERVICES["worker"]["build"]).resolve()
    assert [] == [source for source in sources if not (ROOT / source).exists()]
    assert [] == [source for source in sources if f"!{source}" not in let_through]


def test_the_worker_runs_the_example_from_its_own_queues():
    """The command names an app that exists, and the queues of the example's policy."""
    command = json.loads(instructions("CMD")[-1])
    folder = Path(instructions("WORKDIR")[-1].replace("/app", str(ROOT / "examples"), 1))
    policy = yaml.safe_load((folder / Path(SERVICES["worker"]["environment"]["DISPATCH_POLICY"]).name).read_text())
    queues = {place["queue"] for place in policy["destinations"].values() if place["transport"] == "celery"}

    assert command[:4] == ["celery", "-A", "app", "worker"]
    assert (folder / "app.py").exists()
    assert {f"--queues={','.join(sorted(queues))}"} <= set(command)
