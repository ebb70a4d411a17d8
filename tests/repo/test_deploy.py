"""What is deployed fits together: image, compose file, Prometheus, Grafana and the metrics of the code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream.shell.metrics import METRICS, NAMES

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "Dockerfile"
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"

SAMPLES = {sample: set(labels) for metric in METRICS for sample, labels in metric.samples.items()}
TARGET_LABELS = {"job", "instance"}
DURATION = re.compile(r"(\d+(ms|[smhdwy]))+")
AGGREGATION = re.compile(
    r"\b(?:sum|min|max|avg|count|group|topk|bottomk|stddev|quantile)\s+by\s*\(([^)]*)\)\s*\("
)


def yaml_of(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


COMPOSE = yaml_of(COMPOSE_FILE)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SCRAPING = yaml_of(PROMETHEUS / "prometheus.yml")
GROUPS = [group for path in sorted((PROMETHEUS / "rules").glob("*.yml")) for group in yaml_of(path)["groups"]]
RULES: dict[str, dict[str, Any]] = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
DATASOURCES = yaml_of(GRAFANA / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
DASHBOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((GRAFANA / "dashboards").glob("*.json"))
}


# ---- PromQL, as far as these files use it


def samples_in(expr: str) -> set[str]:
    return set(re.findall(r"\bdriftline_\w+", expr))


def labels_of(samples: set[str]) -> set[str]:
    """Return the labels that every one of the samples has."""
    return (
        set.intersection(*(SAMPLES.get(sample, set()) for sample in samples)) | TARGET_LABELS
        if samples
        else set()
    )


def matched_labels(expr: str) -> Iterator[tuple[str, str]]:
    """Yield each sample with each label that it is filtered by."""
    for sample, matchers in re.findall(r"\b(driftline_\w+)\{([^}]*)\}", expr):
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', matchers)):
            yield sample, label


def groupings(expr: str) -> Iterator[tuple[set[str], set[str]]]:
    """Yield the labels of each `by (...)`, and the samples that it groups."""
    for found in AGGREGATION.finditer(expr):
        depth, end = 1, found.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(expr[end], 0)
            end += 1
        yield {label.strip() for label in found[1].split(",")}, samples_in(expr[found.end() : end])


def labels_left(expr: str) -> set[str]:
    """Return the labels that can be on the result of the expression."""
    grouped = [labels for labels, _ in groupings(expr)]
    if grouped:
        return set.union(*grouped)
    if "driftline_" not in expr:
        return TARGET_LABELS
    return labels_of(samples_in(expr))


def panels_of(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [nested for panel in dashboard["panels"] for nested in (panel, *panel.get("panels", []))]


def queries_of(dashboard: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield where a query stands, the query, and the texts that name its labels."""
    for panel in panels_of(dashboard):
        for target in panel.get("targets", []):
            yield f"panel {panel['id']} {panel['title']}", target["expr"], target["legendFormat"]
    for annotation in dashboard["annotations"]["list"]:
        if "expr" in annotation:
            texts = annotation["titleFormat"] + annotation["textFormat"]
            yield f"annotation {annotation['name']}", annotation["expr"], texts
    for variable in dashboard["templating"]["list"]:
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable.get("definition", ""))
        if found:
            yield f"variable {variable['name']}", found[1], f"{{{{{found[2]}}}}}"


QUERIES = [
    *((f"rule {name}", rule["expr"], json.dumps(rule["annotations"])) for name, rule in RULES.items()),
    *(query for dashboard in DASHBOARDS.values() for query in queries_of(dashboard)),
]
each_query = pytest.mark.parametrize(
    ("expr", "texts"), [query[1:] for query in QUERIES], ids=[q[0] for q in QUERIES]
)


@each_query
def test_a_query_names_only_metrics_that_exist(expr: str, texts: str) -> None:
    assert samples_in(expr) <= SAMPLES.keys(), texts
    assert samples_in(expr) or 'up{job="driftline"}' in expr


@each_query
def test_a_query_filters_and_groups_only_by_labels_that_exist(expr: str, texts: str) -> None:
    missing = [(sample, label) for sample, label in matched_labels(expr) if label not in labels_of({sample})]
    missing += [
        (s, lb) for by, samples in groupings(expr) for s in samples for lb in by if lb not in labels_of({s})
    ]
    assert not missing, texts


@each_query
def test_a_query_is_of_the_form_that_these_tests_understand(expr: str, texts: str) -> None:
    assert expr.count("(") == expr.count(")"), texts
    assert not re.search(r"\)\s*by\b|\b(without|on|ignoring|group_left|group_right)\b", expr)


@each_query
def test_the_words_around_a_query_name_only_labels_that_it_leaves(expr: str, texts: str) -> None:
    named = set(re.findall(r"\{\{\s*(\w+)\s*\}\}", texts)) | set(re.findall(r"\$labels\.(\w+)", texts))
    assert named <= labels_left(expr)


@each_query
def test_counters_are_read_as_rates_and_quantiles_from_buckets(expr: str, texts: str) -> None:
    counters = {name for name, metric in NAMES.items() if metric.type == "counter"}
    bare = re.findall(r"(?<!rate\()(?<!increase\()\b(driftline_\w+)", expr)
    assert not counters & set(bare) or "label_values" in texts or expr in counters
    if "histogram_quantile" in expr:
        assert all("le" in labels for labels, _ in groupings(expr))


def test_every_metric_is_on_a_dashboard_or_in_a_rule() -> None:
    used = set().union(*(samples_in(expr) for _, expr, _ in QUERIES))
    assert [metric.name for metric in METRICS if not used & metric.samples.keys()] == []


# ---- Prometheus


def test_prometheus_is_configured_with_known_fields() -> None:
    assert SCRAPING.keys() <= {"global", "rule_files", "scrape_configs", "alerting"}
    assert SCRAPING["global"].keys() <= {"scrape_interval", "scrape_timeout", "evaluation_interval"}
    for job in SCRAPING["scrape_configs"]:
        assert job.keys() <= {
            "job_name",
            "static_configs",
            "dns_sd_configs",
            "scrape_interval",
            "metrics_path",
        }
        for search in job.get("dns_sd_configs", []):
            assert search.keys() <= {"names", "type", "port", "refresh_interval"}


def test_prometheus_waits_for_durations_that_it_can_read() -> None:
    durations = [
        *SCRAPING["global"].values(),
        *(rule["for"] for rule in RULES.values() if "for" in rule),
        *(group["interval"] for group in GROUPS if "interval" in group),
        *(
            found
            for _, expr, _ in QUERIES
            for found in re.findall(r"\[([^\]$]+)\]|offset (\w+)", expr)
            for found in found
            if found
        ),
    ]
    assert [duration for duration in durations if not DURATION.fullmatch(duration)] == []


def test_prometheus_finds_the_rules_and_the_workers() -> None:
    assert [path for pattern in SCRAPING["rule_files"] for path in PROMETHEUS.glob(pattern)]
    (job,) = [job for job in SCRAPING["scrape_configs"] if job["job_name"] == "driftline"]
    (search,) = job["dns_sd_configs"]
    assert search["names"] == ["worker"]
    assert search["port"] == int(SERVICES["worker"]["environment"]["DRIFTLINE_HTTP_PORT"])


@pytest.mark.parametrize("name", RULES)
def test_an_alert_says_what_happened_what_it_means_and_what_to_do(name: str) -> None:
    rule = RULES[name]
    assert rule.keys() <= {"alert", "expr", "for", "keep_firing_for", "labels", "annotations"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    assert all(text.strip() for text in rule["annotations"].values())
    assert rule["labels"]["severity"] in {"critical", "warning"}


def test_every_alert_has_a_name_of_its_own() -> None:
    assert len(RULES) == sum(len(group["rules"]) for group in GROUPS)
    assert all(group.keys() <= {"name", "interval", "rules"} for group in GROUPS)


# ---- Grafana


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_has_a_fixed_uid_and_panels_that_do_not_collide(name: str) -> None:
    dashboard = DASHBOARDS[name]
    panels = panels_of(dashboard)
    assert dashboard["uid"] == name
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for grid in (panel["gridPos"] for panel in panels):
        cells = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert grid["x"] + grid["w"] <= 24
        assert not cells & taken
        taken |= cells


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_asks_the_provisioned_data_source(name: str) -> None:
    dashboard = DASHBOARDS[name]
    (chosen,) = [each for each in dashboard["templating"]["list"] if each["type"] == "datasource"]
    assert chosen["current"]["value"] in {source["uid"] for source in DATASOURCES}
    asked = [panel["datasource"] for panel in panels_of(dashboard) if panel["type"] != "row"]
    asked += [target["datasource"] for panel in panels_of(dashboard) for target in panel.get("targets", [])]
    asked += [each["datasource"] for each in dashboard["templating"]["list"] if each["type"] == "query"]
    assert all(source == {"type": "prometheus", "uid": f"${{{chosen['name']}}}"} for source in asked)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_uses_only_variables_that_it_declares(name: str) -> None:
    declared = {variable["name"] for variable in DASHBOARDS[name]["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARDS[name]["panels"])))
    assert {variable for variable in used if not variable.startswith("__")} <= declared


def test_grafana_finds_the_dashboards_and_prometheus() -> None:
    mounts = dict(volume.split(":")[:2][::-1] for volume in SERVICES["grafana"]["volumes"])
    provided = yaml_of(GRAFANA / "provisioning" / "dashboards" / "driftline.yml")["providers"]
    assert [mounts[each["options"]["path"]] for each in provided] == ["./deploy/grafana/dashboards"]
    assert mounts["/etc/grafana/provisioning"] == "./deploy/grafana/provisioning"
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.stem in DASHBOARDS
    assert str(home.parent) in mounts
    assert [source["url"] for source in DATASOURCES] == ["http://prometheus:9090"]


# ---- Compose


def test_the_compose_file_keeps_to_the_compose_specification() -> None:
    schema = ["--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *schema, str(COMPOSE_FILE)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_images_are_pinned_to_a_version() -> None:
    pulled = [service["image"] for service in SERVICES.values() if "build" not in service]
    assert [image for image in pulled if not re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", image)] == []


def test_ports_are_open_on_the_loopback_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_what_is_mounted_exists() -> None:
    sources = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    assert [source for source in sources if source[0] == "." and not (ROOT / source).exists()] == []
    assert {source for source in sources if source[0] != "."} == COMPOSE["volumes"].keys()


def test_a_worker_starts_when_the_broker_is_healthy_and_the_topics_exist() -> None:
    waits = {name: wait["condition"] for name, wait in SERVICES["worker"]["depends_on"].items()}
    assert waits == {"kafka": "service_healthy", "topics": "service_completed_successfully"}
    assert SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert "/readyz" in SERVICES["worker"]["healthcheck"]["test"][-1]
    assert SERVICES["worker"]["restart"] == "unless-stopped"


def test_a_worker_finds_the_broker() -> None:
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert f"INTERNAL://{SERVICES['worker']['environment']['DRIFTLINE_BROKERS']}" in advertised


# ---- The image


def instructions() -> list[tuple[str, str]]:
    lines = [line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in whole.splitlines() if line)]


def test_what_the_image_copies_exists() -> None:
    copied = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and "--from=" not in rest]
    assert copied
    assert [source for sources in copied for source in sources if not (ROOT / source).exists()] == []


def test_the_image_installs_what_the_constraints_pin() -> None:
    installs = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    assert installs
    assert all("-c constraints.txt" in install for install in installs)


def test_the_image_does_not_run_as_root() -> None:
    users = [rest for word, rest in instructions() if word == "USER"]
    assert users
    assert users[-1].split(":")[0] not in {"root", "0"}


def test_the_image_runs_a_worker_and_asks_it_whether_it_lives() -> None:
    last = dict(instructions())
    assert json.loads(last["ENTRYPOINT"]) == ["driftline"]
    assert json.loads(last["CMD"]) == ["worker"]
    assert "/healthz" in last["HEALTHCHECK"]


def test_every_setting_that_is_deployed_is_known() -> None:
    from stream.config import VARIABLES  # noqa: PLC0415 - no other test here needs the settings

    deployed = [DOCKERFILE, COMPOSE_FILE, *PROMETHEUS.rglob("*.yml")]
    named = {
        name
        for path in deployed
        for name in re.findall(r"\bDRIFTLINE_[A-Z_]+", path.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= VARIABLES.keys()
