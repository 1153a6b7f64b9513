"""compose.yaml and what its services read, checked without a container engine: against the schema, the settings, the
registry of figures, and each other."""

import configparser
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.blobs import backends
from gateway.commands.config import settings_table
from gateway.config import Settings
from gateway.metadata.pipeline import MAX_PREPARED
from gateway.telemetry.figures import FIGURES

yaml = pytest.importorskip("yaml", reason="no YAML parser")

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "docs" / "deploy"
VARIABLES = {setting.variable for setting in settings_table(Settings())}
PROFILES = {
    "embedded": {"gateway-embedded"},
    "single": {"gateway", "postgres"},
    "s3": {"gateway-s3", "postgres-s3", "pgbouncer", "garage"},
    "tenants": {"gateway-tenants", "register-tenants", "postgres-tenants"},
    "observe": {"prometheus", "grafana", "otel-collector", "jaeger"},
    "images": {"imgproxy"},
}
# One program and no shell: nothing in these images could ask.
WITHOUT_HEALTH_CHECK = {"otel-collector", "jaeger"}
EXPOSED = {figure.exposed for figure in FIGURES} | {
    f"{figure.name}_{suffix}" for figure in FIGURES if figure.bounds for suffix in ("bucket", "sum", "count")
}
EXPOSED.add("rowlock_build_info")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = load(ROOT / "compose.yaml")["services"]
    return found


def test_follows_the_compose_specification() -> None:
    """The schema is compose-spec's own (Apache-2.0), which check-jsonschema carries."""
    command = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(ROOT / "compose.yaml")]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_profiles_are_complete_in_themselves(services: dict[str, dict[str, Any]]) -> None:
    by_profile: dict[str, set[str]] = {}
    for name, service in services.items():
        [profile] = service["profiles"]
        by_profile.setdefault(profile, set()).add(name)
        for needed in service.get("depends_on", ()):
            assert services[needed]["profiles"] == [profile], (name, needed)
    assert by_profile == PROFILES


def test_who_is_waited_for_can_say_that_it_is_well(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        for needed, how in service.get("depends_on", {}).items():
            asked = "healthcheck" in services[needed] or "build" in services[needed]
            assert (how["condition"] == "service_healthy") is asked, needed
    without = {name for name, service in services.items() if "healthcheck" not in service and "build" not in service}
    assert without == WITHOUT_HEALTH_CHECK


def test_images_are_pinned(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9]+)?", service["image"]), name


def test_every_file_and_volume_exists(services: dict[str, dict[str, Any]]) -> None:
    named = load(ROOT / "compose.yaml")["volumes"]
    used = set()
    for service in services.values():
        for volume in service.get("volumes", ()):
            source, target, *mode = volume.split(":")
            assert target.startswith("/")
            if source.startswith("./"):
                assert (ROOT / source).exists(), source
                assert mode == ["ro"], source
            else:
                used.add(source)
    assert used == set(named)


def test_environment_of_gateways_is_made_of_settings(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        if "build" not in service:
            continue
        given = dict(service["environment"])
        referred = set(re.findall(r'\{"env": "([A-Z_]+)"\}', str(given.get("ROWLOCK_BACKENDS", ""))))
        assert referred <= set(given), name
        others = set(given) - VARIABLES - referred
        assert others <= {"OTEL_EXPORTER_OTLP_ENDPOINT", "ACME_PASSWORD", "GLOBEX_PASSWORD", "OWNER_PASSWORD"}, name


def test_settings_of_gateways_are_taken(
    services: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = made_env(tmp_path)
    for name in PROFILES["embedded"] | PROFILES["single"] | PROFILES["s3"] | PROFILES["tenants"]:
        if "build" not in services[name]:
            continue
        with monkeypatch.context() as patch:
            for variable, value in services[name]["environment"].items():
                patch.setenv(variable, re.sub(r"\$\{(\w+):-\}", lambda match: secrets.get(match[1], ""), str(value)))
            settings = Settings(workers=1)
            backends.require_sound(settings)
            assert settings.metrics_port == 9464
            assert settings.master_key is not None


def test_no_secret_has_a_default(services: dict[str, dict[str, Any]]) -> None:
    text = (ROOT / "compose.yaml").read_text("utf-8")
    assert re.findall(r"\$\{\w+:-[^}]+\}", text) == []
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|_KEY$|_SALT$|RPC", variable) and not variable.startswith("GF_"):
                assert re.fullmatch(r"(\$\{\w+:-\})?", str(value)), (name, variable)


def test_ports_are_published_on_the_loopback_only(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")


def test_gateways_have_time_to_drain(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        if name.startswith("gateway"):
            assert int(service["stop_grace_period"].removesuffix("s")) > Settings().drain_seconds + 15


def made_env(tmp_path: Path) -> dict[str, str]:
    """The .env that the page shows how to make."""
    script = DEPLOY / "make-env.sh"
    text = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    return dict(line.split("=", 1) for line in text.splitlines())


def test_env_has_all_that_is_asked_for_and_is_new_each_time(tmp_path: Path) -> None:
    made = made_env(tmp_path)
    asked = set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text("utf-8")))
    assert asked - set(made) == {"OTEL_EXPORTER_OTLP_ENDPOINT"}
    assert set(made) <= asked
    again = made_env(tmp_path)
    empty = {name for name, value in made.items() if not value}
    assert empty == {"IMGPROXY_ACCESS_KEY_ID", "IMGPROXY_SECRET_ACCESS_KEY"}
    assert all(made[name] != again[name] for name in set(made) - empty)
    # parts of URLs
    assert all(value.isalnum() for name, value in made.items() if name.endswith("_PASSWORD"))


@pytest.mark.parametrize("script", sorted(DEPLOY.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_read_by_their_shells(script: Path) -> None:
    shell = "bash" if script.read_text("utf-8").startswith("#!/bin/bash") else "sh"
    subprocess.run([shell, "-n", str(script)], check=True)
    assert "set -eu" in script.read_text("utf-8")


def test_pgbouncer_is_as_the_pools_need_it(services: dict[str, dict[str, Any]]) -> None:
    parser = configparser.ConfigParser(comment_prefixes=(";",))
    parser.read(DEPLOY / "pgbouncer.ini")
    pooler = parser["pgbouncer"]
    assert pooler["pool_mode"] == "transaction"
    assert int(pooler["max_prepared_statements"]) > MAX_PREPARED
    assert int(pooler["default_pool_size"]) + int(pooler["reserve_pool_size"]) < 97, "of Postgres' 100"
    assert float(pooler["query_wait_timeout"]) <= Settings().database_pool_timeout_seconds
    assert pooler["listen_port"] in str(services["gateway-s3"]["environment"]["DATABASE_POOL_URL"])
    assert dict(parser["databases"])["rowlock"].startswith("host=postgres-s3 ")


def test_garage_is_where_its_backend_is_looked_for(services: dict[str, dict[str, Any]]) -> None:
    garage = tomllib.loads((DEPLOY / "garage.toml").read_text("utf-8"))
    backend = json.loads(services["gateway-s3"]["environment"]["ROWLOCK_BACKENDS"])["garage"]
    assert backend["endpoint"] == f"http://garage:{garage['s3_api']['api_bind_addr'].rpartition(':')[2]}"
    assert garage["s3_api"]["s3_region"] == "garage"
    assert backend["bucket"] == services["garage"]["environment"]["GARAGE_DEFAULT_BUCKET"]
    assert garage["data_fsync"] is garage["metadata_fsync"] is True
    assert "rpc_secret" not in garage


def test_prometheus_scrapes_the_port_the_gateways_have(services: dict[str, dict[str, Any]]) -> None:
    prometheus = load(DEPLOY / "prometheus.yml")
    [rowlock] = [job for job in prometheus["scrape_configs"] if job["job_name"] == "rowlock"]
    [found] = rowlock["dns_sd_configs"]
    for name, service in services.items():
        if name.startswith("gateway"):
            assert service["environment"]["ROWLOCK_METRICS_PORT"] == found["port"]
            assert service["networks"]["default"]["aliases"] == found["names"]
    mounted = {volume.split(":")[1] for volume in services["prometheus"]["volumes"]}
    assert set(prometheus["rule_files"]) <= mounted


def expressions() -> Iterator[tuple[str, str]]:
    """Everything the alerts and the dashboard ask Prometheus, by what asks it."""
    for group in load(DEPLOY / "alerts.yml")["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "rowlock.json").read_text("utf-8"))
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        yield variable["name"], variable["query"]["query"]


def test_alerts_and_dashboard_ask_for_figures_there_are() -> None:
    asked = list(expressions())
    assert len(asked) > 40
    named = set()
    for where, expression in asked:
        names = set(re.findall(r"\browlock_[a-z_]+\b", expression))
        assert names <= EXPOSED, where
        assert names or expression.startswith("up{"), where
        assert expression.count("(") == expression.count(")"), where
        named |= names
    never_shown = {figure.exposed for figure in FIGURES if not any(name.startswith(figure.name) for name in named)}
    assert never_shown == set(), "the dashboard shows everything that is counted"


def test_labels_that_are_asked_for_exist() -> None:
    labels = {label for figure in FIGURES for label in figure.labels} | {"instance", "le", "version", "job"}
    for where, expression in expressions():
        grouped = re.findall(r"\bby \(([a-z, ]+)\)", expression)
        matched = re.findall(r"[{,]([a-z_]+)=~?\"", expression)
        for label in [*(part.strip() for group in grouped for part in group.split(",")), *matched]:
            assert label in labels, (where, label)


def test_panels_have_their_own_place() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "rowlock.json").read_text("utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_grafana_finds_its_files(services: dict[str, dict[str, Any]]) -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    [provider] = load(provisioning / "dashboards" / "rowlock.yml")["providers"]
    mounted = {volume.split(":")[1] for volume in services["grafana"]["volumes"]}
    assert provider["options"]["path"] in mounted
    sources = {
        source["uid"]: source["url"] for source in load(provisioning / "datasources" / "rowlock.yml")["datasources"]
    }
    for url in sources.values():
        assert url.removeprefix("http://").partition(":")[0] in services
    dashboard = (DEPLOY / "grafana" / "dashboards" / "rowlock.json").read_text("utf-8")
    assert set(re.findall(r'"uid": "(\w+)"', dashboard)) <= {*sources, "rowlock"}


def test_collector_uses_what_it_defines(services: dict[str, dict[str, Any]]) -> None:
    collector = load(DEPLOY / "otel-collector.yml")
    assert set(collector) == {"receivers", "processors", "exporters", "service"}
    for pipeline in collector["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= set(collector[kind])
        assert pipeline["processors"][0] == "memory_limiter"
    assert collector["exporters"]["otlp/jaeger"]["endpoint"].partition(":")[0] in services
    assert collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].endswith(":4318")
    [scraped] = [
        job for job in load(DEPLOY / "prometheus.yml")["scrape_configs"] if job["job_name"] == "otel-collector"
    ]
    [reader] = collector["service"]["telemetry"]["metrics"]["readers"]
    assert scraped["static_configs"][0]["targets"] == [
        f"otel-collector:{reader['pull']['exporter']['prometheus']['port']}"
    ]


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", pages(), ids=lambda path: path.name)
def test_settings_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    named = set(re.findall(r"\bROWLOCK_[A-Z0-9_]*[A-Z0-9]\b", text))
    # a family of settings, as ROWLOCK_TLS_…
    named -= {"ROWLOCK_ENDPOINT"}  # the conformance suite's
    assert {name for name in named if not any(variable.startswith(name) for variable in VARIABLES)} == set()


def test_commands_of_the_deployment_page_are_of_profiles_there_are() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    assert set(re.findall(r"--profile (\w+)", text)) == set(PROFILES)
    for path in re.findall(r"docs/deploy/[\w./-]+\w", text):
        assert (ROOT / path).exists(), path
