"""infra/autoscaler.yaml against the schema that Ray's launcher checks it with."""

from __future__ import annotations

import copy
import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from pipelines.code_digest import ROOT

CONFIG = yaml.safe_load((ROOT / "infra" / "autoscaler.yaml").read_text())
SCHEMA = json.loads((Path(find_spec("ray").submodule_search_locations[0]) / "autoscaler/ray-schema.json").read_text())


def problems(config: dict) -> list[str]:
    return [error.message for error in Draft7Validator(SCHEMA).iter_errors(config)]


def test_the_launcher_takes_it():
    assert problems(CONFIG) == []
    assert CONFIG["head_node_type"] in CONFIG["available_node_types"]


@pytest.mark.parametrize("key", CONFIG)
def test_a_misspelled_field_fails(key):
    wrong = copy.deepcopy(CONFIG)
    wrong[f"{key}x"] = wrong.pop(key)
    assert problems(wrong)


def test_only_ssh_reaches_the_dashboard_and_every_node_gets_the_token():
    (head,) = [line for line in CONFIG["head_start_ray_commands"] if "--head" in line]
    assert "--dashboard-host=127.0.0.1" in head
    assert "~/.ray/auth_token" in CONFIG["file_mounts"]
