"""infra/compose.yaml against the schema of the Compose specification, and what it opens to whom."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from pipelines.code_digest import ROOT

TEXT = (ROOT / "infra" / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]


@cache
def schema() -> dict[str, Any]:
    return json.loads(files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text())


def problems(compose: dict[str, Any]) -> list[str]:
    return [error.message for error in Draft202012Validator(schema()).iter_errors(compose)]


def test_it_is_what_the_specification_takes():
    assert problems(COMPOSE) == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_misspelled_or_mistyped_field_of_any_service_fails(service):
    for key in SERVICES[service]:
        misspelled = copy.deepcopy(COMPOSE)
        misspelled["services"][service][f"{key}x"] = misspelled["services"][service].pop(key)
        assert problems(misspelled), f"{key}x passes"
        mistyped = copy.deepcopy(COMPOSE)
        mistyped["services"][service][key] = [[]]
        assert problems(mistyped), f"{key} of another type passes"


@pytest.mark.parametrize("service", SERVICES)
def test_ports_are_published_on_loopback_alone(service):
    assert [port for port in SERVICES[service].get("ports", ()) if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("service", SERVICES)
def test_images_are_ours_or_of_a_named_version(service):
    name, _, tag = SERVICES[service]["image"].rpartition(":")
    assert (name == "rxt" and tag in ("cpu", "cuda")) or re.fullmatch(r"\d+(\.\d+)*", tag)


def test_every_secret_comes_from_outside_and_must_be_given():
    secret = re.compile(r"(TOKEN|SECRET|PASSWORD)")
    values = [
        value for service in SERVICES.values() for name, value in service["environment"].items() if secret.search(name)
    ]
    assert len(values) >= len(SERVICES)
    assert [value for value in values if not re.fullmatch(r"\$\{\w+:\?infra/README\.md .*\}", value)] == []


def test_every_service_that_another_waits_for_says_when_it_is_healthy():
    waited = {name for service in SERVICES.values() for name in service.get("depends_on", ())}
    assert waited == {"head", "mlflow", "objects", "postgres"}
    assert [name for name in waited if "healthcheck" not in SERVICES[name]] == []


def test_the_server_of_mlflow_gets_no_password_on_its_command_line():
    assert "postgresql://rxt@postgres/mlflow" in SERVICES["mlflow"]["command"]
