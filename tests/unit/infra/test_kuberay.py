"""The manifests of infra/kuberay against KubeRay's own schemas: a misspelled field or a value of another type fails."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from pipelines.code_digest import ROOT
from tests.support.infra import kuberay_schema as schemas
from tests.support.processes import SECONDS

OVERLAYS = ("cluster", "job", "kueue")
FREE = {"labels", "annotations", "matchLabels", "rayStartParams", "limits", "requests"}  # their keys are anybody's


def problems(manifest: dict[str, Any], schema: schemas.Schema) -> list[str]:
    found = Draft202012Validator(schema).iter_errors(manifest)
    return [f"{'/'.join(map(str, error.path))}: {error.message}" for error in found]


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The path of every key and item."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in entries:
        yield (*path, key)
        yield from places(below, (*path, key))


def changed(manifest: dict[str, Any], path: tuple, misspelled: bool) -> dict[str, Any]:
    """The manifest with another key, or another type of value, at the path."""
    result = copy.deepcopy(manifest)
    inner: Any = result
    for key in path[:-1]:
        inner = inner[key]
    value = inner.pop(path[-1]) if misspelled else inner[path[-1]]
    if misspelled:
        inner[f"{path[-1]}x"] = value
    else:
        inner[path[-1]] = ["of another type"] if isinstance(value, (str, int)) else 7
    return result


def missing(what: str) -> None:
    warnings.warn(f"NOT CHECKED: {what}", stacklevel=2)
    pytest.skip(what)


def rendered(overlay: str) -> list[dict[str, Any]]:
    if shutil.which("kubectl") is None:
        missing("kubectl is not installed, so the overlays of infra/kuberay are not rendered")
    command = ["kubectl", "kustomize", str(schemas.MANIFESTS / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def ray_resources(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [document for document in documents if document["kind"] in schemas.FILES]


@pytest.mark.parametrize("manifest", schemas.written(), ids=lambda manifest: manifest["kind"])
def test_manifests_are_what_kuberay_takes_and_nothing_else_passes(manifest):
    schema = schemas.kept()[manifest["kind"]]
    assert problems(manifest, schema) == []
    for path in places(manifest):
        assert problems(changed(manifest, path, misspelled=False), schema), f"{path} of another type passes"
        if isinstance(path[-1], str) and not FREE & {*path[:-1]}:
            assert problems(changed(manifest, path, misspelled=True), schema), f"{path} misspelled passes"


def test_the_schemas_that_are_kept_are_part_of_the_real_ones():
    folder = schemas.real_folder()
    if folder is None:
        missing("KubeRay's whole schemas are not here (KUBERAY_SCHEMAS=FOLDER), only the part that is kept")
    real = schemas.whole(folder)
    assert [problems(manifest, real[manifest["kind"]]) for manifest in schemas.written()] == [[], [], []]
    assert schemas.parts(real) == json.loads(schemas.REDUCED.read_text())


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_an_overlay_applies_is_what_kuberay_takes(overlay):
    documents = rendered(overlay)
    known = schemas.kept()
    assert [problems(document, known[document["kind"]]) for document in ray_resources(documents)] == [[]]
    assert sorted(document["kind"] for document in documents) == sorted(
        ["ConfigMap", "NetworkPolicy", "RayCluster" if overlay == "cluster" else "RayJob"]
    )
    assert {document["metadata"]["namespace"] for document in documents} == {"rxt"}


def test_a_job_has_the_cluster_and_the_image_of_the_standing_cluster():
    (cluster,), (job,) = ray_resources(rendered("cluster")), ray_resources(rendered("job"))
    assert job["spec"]["rayClusterSpec"] == cluster["spec"]
    submitter = job["spec"]["submitterPodTemplate"]["spec"]["containers"][0]
    assert submitter["image"] == cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["image"]


def test_a_queued_job_is_suspended_and_of_a_fixed_size():
    (job,) = ray_resources(rendered("kueue"))
    assert job["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "rxt"}
    assert job["spec"]["suspend"] is True
    assert "enableInTreeAutoscaling" not in job["spec"]["rayClusterSpec"]
    assert all(group["replicas"] > 0 for group in job["spec"]["rayClusterSpec"]["workerGroupSpecs"])


def pod_templates(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "containers" in value.get("spec", {}):
            yield value
        for below in value.values():
            yield from pod_templates(below)
    elif isinstance(value, list):
        for below in value:
            yield from pod_templates(below)


@pytest.mark.parametrize("manifest", ray_resources(schemas.written()), ids=lambda manifest: manifest["kind"])
def test_every_pod_is_closed_and_bounded(manifest):
    """Not root, no privileges, requests equal to limits where Ray counts them, and under the network policy."""
    found = list(pod_templates(manifest))
    assert found
    for pod in found:
        assert pod["metadata"]["labels"] == {"app.kubernetes.io/part-of": "rxt"}
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        for container in pod["spec"]["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
            resources = container["resources"]
            assert container["name"] == "ray-job-submitter" or resources["requests"] == resources["limits"]
            for mount in container.get("volumeMounts", ()):
                assert mount["mountPath"] == "/dev/shm"


def test_the_cluster_runs_the_ray_that_is_pinned_and_demands_a_token():
    (cluster,) = [manifest for manifest in schemas.written() if manifest["kind"] == "RayCluster"]
    assert f"ray=={cluster['spec']['rayVersion']}" in (ROOT / "constraints.txt").read_text().splitlines()
    assert cluster["spec"]["authOptions"] == {"mode": "token"}
