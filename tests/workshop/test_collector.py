"""The collector of docker-compose.yml and its configuration, as far as they can be checked without either."""

from __future__ import annotations

import json
import os
import re
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from dispatch._units import size
from dispatch.telemetry._export._file import TraceFile
from dispatch.telemetry._export._otlp_lines import LONGEST_LINE
from dispatch.telemetry.exporter import JsonLinesExporter
from telemetry.handmade import Spans

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
SERVICE, WORKER = SERVICES["collector"], SERVICES["worker"]
CONFIG = yaml.safe_load((ROOT / "examples" / "collector.yaml").read_text())
PIPELINES = CONFIG["service"]["pipelines"]
FILES = CONFIG["receivers"]["otlpjsonfile"]
CONTRIB = {
    "receivers": {"otlp", "otlpjsonfile"},
    "processors": {"batch", "memory_limiter"},
    "exporters": {"debug", "otlp", "prometheus"},
    "extensions": {"health_check"},
}
"""Of the components of this image, those that are used: a misspelt one would end the collector at its start."""


def mounts(service) -> dict[str, str]:
    """What stands at a path in the container, by that path."""
    return {place: source for source, place, *_ in (volume.split(":") for volume in service["volumes"])}


def published(service) -> dict[int, int]:
    """Ports of the container, and what they are on this machine."""
    return {int(port.split(":")[2]): int(port.split(":")[1]) for port in service["ports"]}


def port_of(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])


def a_trace_file(folder, **bounds) -> TraceFile:
    return TraceFile(folder, "stdlib-search", **{"max_bytes": 1 << 20, "keep": 8, "max_folder_bytes": 1 << 30} | bounds)


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("kind", ["receivers", "processors", "exporters"])
def test_a_pipeline_is_made_of_parts_that_are_defined(pipeline, kind):
    """And has at least one of each kind."""
    used = PIPELINES[pipeline][kind]

    assert used
    assert set(used) <= set(CONFIG[kind])


@pytest.mark.parametrize("kind", CONTRIB)
def test_every_part_is_used_and_is_of_a_kind_that_the_image_has(kind):
    """Nothing is defined for show."""
    used = (
        CONFIG["service"]["extensions"]
        if kind == "extensions"
        else [name for pipeline in PIPELINES.values() for name in pipeline[kind]]
    )

    assert set(CONFIG[kind]) == set(used)
    assert {name.partition("/")[0] for name in CONFIG[kind]} == CONTRIB[kind]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_memory_is_limited_first_and_batches_are_made_last(pipeline):
    """As the collector's documentation has it."""
    assert ["memory_limiter", "batch"] == PIPELINES[pipeline]["processors"]


def test_traces_go_to_jaeger_and_metrics_to_whoever_asks():
    """Both come in over OTLP; traces also by the worker's files."""
    assert ({"otlp", "otlpjsonfile"}, {"otlp"}) == tuple(set(PIPELINES[each]["receivers"]) for each in PIPELINES)
    assert "otlp/jaeger" in PIPELINES["traces"]["exporters"]
    assert "prometheus" in PIPELINES["metrics"]["exporters"]


def test_the_program_reads_the_configuration_that_is_mounted():
    """Where its command says."""
    [option] = SERVICE["command"]
    path = option.removeprefix("--config=")

    assert ROOT / "examples" / "collector.yaml" == (ROOT / mounts(SERVICE)[path]).resolve()


def test_the_worker_sends_where_the_collector_listens():
    """Over HTTP, which is what an address without a protocol means."""
    address = urlsplit(WORKER["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"])
    listens = CONFIG["receivers"]["otlp"]["protocols"]["http"]["endpoint"]

    assert ("collector", port_of(listens)) == (address.hostname, address.port)
    assert "OTEL_EXPORTER_OTLP_PROTOCOL" not in WORKER["environment"]


def test_what_the_collector_serves_is_reachable_under_its_usual_number():
    """From this machine; inside, every address of the container."""
    protocols = CONFIG["receivers"]["otlp"]["protocols"]
    endpoints = [
        protocols["grpc"]["endpoint"],
        protocols["http"]["endpoint"],
        CONFIG["exporters"]["prometheus"]["endpoint"],
        CONFIG["extensions"]["health_check"]["endpoint"],
    ]

    assert {port: port for port in map(port_of, endpoints)} == published(SERVICE)
    assert all(endpoint.startswith("0.0.0.0:") for endpoint in endpoints)
    assert [4317, 4318] == [port_of(protocols[each]["endpoint"]) for each in ("grpc", "http")]


def test_no_two_services_want_the_same_port():
    """Jaeger has given its own to the collector."""
    ports = [here for service in SERVICES.values() if "ports" in service for here in published(service).values()]

    assert sorted(set(ports)) == sorted(ports)


def test_jaeger_is_told_in_a_language_that_it_speaks():
    """OTLP over gRPC, in the clear, once it is well."""
    jaeger = CONFIG["exporters"]["otlp/jaeger"]

    assert ("jaeger:4317", True) == (jaeger["endpoint"], jaeger["tls"]["insecure"])
    assert {"jaeger": {"condition": "service_healthy"}} == SERVICE["depends_on"]


def test_spans_reach_jaeger_once():
    """The worker sends them or writes them, by default the first; `both` has to be somebody's own wish."""
    default = re.fullmatch(r"\$\{WORKER_TRACES_EXPORTER:-(.+)\}", WORKER["environment"]["OTEL_TRACES_EXPORTER"])[1]

    assert "otlp" == default


def test_the_files_are_found_by_the_names_that_they_have(tmp_path):
    """Those of the worker's directory, the rotated ones too; and each by one pattern, so that none is read twice."""
    folder = WORKER["environment"]["DISPATCH_TRACE_DIR"]
    file = a_trace_file(tmp_path, max_bytes=10)
    for number in range(12):
        file.write(b"%09d" % number)
    file.close()

    names = [f"{folder}/{each.name}" for each in tmp_path.iterdir()]
    assert 8 == len(names)
    assert [1] * 8 == [sum(fnmatchcase(name, pattern) for pattern in FILES["include"]) for name in names]


def test_the_files_are_where_the_collector_looks_and_it_may_read_them(tmp_path):
    """The same volume at the same place, and the user who owns what nobody else may read."""
    file = a_trace_file(tmp_path)
    file.write(b"{}")
    file.close()
    owner = re.search(r"useradd .*--uid (\d+) worker", (ROOT / "Dockerfile").read_text())[1]

    assert mounts(WORKER)["/data"] == mounts(SERVICE)["/data"]
    assert WORKER["environment"]["DISPATCH_TRACE_DIR"].startswith("/data/")
    assert 0o600 == file.path.stat().st_mode & 0o777
    assert owner == SERVICE["user"]
    assert os.access(ROOT / "examples" / "collector.yaml", os.R_OK)


def test_a_line_of_ours_is_never_too_long_for_the_receiver():
    """It would divide it, and read neither half."""
    assert size(FILES["max_log_size"]) > LONGEST_LINE


def test_two_files_of_one_process_begin_differently_for_the_receiver(tmp_path):
    """It knows a file by its first bytes, and takes two that begin alike for one that was renamed."""
    spans = Spans()
    files = []
    for number in range(2):
        spans.tracer().start_span("one", attributes={"much": "x" * 1000}).end()
        exporter = JsonLinesExporter(tmp_path / str(number))
        exporter.export(spans.finished[-1:])
        exporter.shutdown()
        files.append(exporter.path.read_bytes()[: size(FILES["fingerprint_size"]) // 4])

    assert files[0] != files[1]
    assert "resource" == next(iter(json.loads(exporter.path.read_bytes())["resourceSpans"][0]))
