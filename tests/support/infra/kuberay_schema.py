"""The schemas of KubeRay's resources, made strict: a field that they do not name is refused, as by a careful server.

`tests/assets/kuberay-v1.7.0.json` holds the part that our manifests use. It is made again, after a manifest got a new
field, from a folder with `rayclusters.v1.schema.json.gz` and `rayjobs.v1.schema.json.gz`: the `openAPIV3Schema` of
KubeRay's custom resource definitions (Apache-2.0).

    KUBERAY_SCHEMAS=FOLDER .venv/bin/python -m tests.support.infra.kuberay_schema
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import yaml

from pipelines.code_digest import ROOT

REDUCED = ROOT / "tests" / "assets" / "kuberay-v1.7.0.json"
MANIFESTS = ROOT / "infra" / "kuberay"
FILES = {"RayCluster": "rayclusters.v1.schema.json.gz", "RayJob": "rayjobs.v1.schema.json.gz"}
KEPT = ("type", "enum", "required", "minimum", "minItems", "minLength", "maxLength", "pattern")
INT_OR_STRING = {"type": ["integer", "string"]}
METADATA = {  # the definitions leave it to the server
    "type": "object",
    "properties": {
        **dict.fromkeys(("name", "namespace"), {"type": "string"}),
        **dict.fromkeys(("labels", "annotations"), {"type": "object", "additionalProperties": {"type": "string"}}),
    },
    "additionalProperties": False,
}

Schema = dict[str, Any]


def real_folder() -> Path | None:
    """Where the whole schemas lie, if they are here: in `KUBERAY_SCHEMAS`, else beside this repository."""
    folder = Path(os.environ.get("KUBERAY_SCHEMAS", ROOT.parent / "shared" / "data" / "kuberay-v1.7.0"))
    return folder if folder.is_dir() else None


def read_manifests(text: str) -> list[dict[str, Any]]:
    """The RayClusters, RayJobs and NetworkPolicies in a YAML text."""
    return [document for document in yaml.safe_load_all(text) if document["kind"] in (*FILES, "NetworkPolicy")]


def written() -> list[dict[str, Any]]:
    """The manifests as they are in the repository."""
    return [document for path in sorted(MANIFESTS.rglob("*.yaml")) for document in read_manifests(path.read_text())]


def whole(folder: Path) -> dict[str, Schema]:
    """The schema of each kind with all of its fields."""
    schemas = {kind: strict(json.loads(gzip.decompress((folder / name).read_bytes()))) for kind, name in FILES.items()}
    return {**schemas, "NetworkPolicy": _network_policy(schemas["RayCluster"])}


def kept() -> dict[str, Schema]:
    """The schemas from this repository. A job's cluster is kept once, as a cluster."""
    schemas = json.loads(REDUCED.read_text())
    schemas["RayJob"]["properties"]["spec"]["properties"]["rayClusterSpec"] = schemas["RayCluster"]["properties"][
        "spec"
    ]
    return schemas


def strict(schema: Schema) -> Schema:
    """A schema in the words of JSON Schema, which refuses fields that it does not name."""
    if schema.get("x-kubernetes-int-or-string"):
        return INT_OR_STRING
    result = {key: schema[key] for key in KEPT if key in schema}
    if "properties" in schema:
        result["properties"] = {name: strict(below) for name, below in schema["properties"].items()}
        result["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
        if result["properties"].get("metadata") == {"type": "object"}:
            result["properties"]["metadata"] = METADATA
    elif isinstance(schema.get("additionalProperties"), dict):
        result["additionalProperties"] = strict(schema["additionalProperties"])
    if "items" in schema:
        result["items"] = strict(schema["items"])
    return result


def used(schema: Schema, values: list[Any]) -> Schema:
    """The part of a strict schema that these values use."""
    result = dict(schema)
    if schema.get("properties") and schema != METADATA:
        names = sorted({name for value in values for name in value} & schema["properties"].keys())
        result["properties"] = {
            name: used(schema["properties"][name], [value[name] for value in values if name in value]) for name in names
        }
    if "items" in schema:
        result["items"] = used(schema["items"], [item for value in values for item in value])
    return result


def parts(schemas: dict[str, Schema]) -> dict[str, Schema]:
    """Of each schema, what the manifests use."""
    return {kind: used(schema, [m for m in written() if m["kind"] == kind]) for kind, schema in schemas.items()}


def _network_policy(cluster: Schema) -> Schema:
    """A RayCluster takes the rules of a NetworkPolicy. The rest of one is little."""
    own = cluster["properties"]
    rules = own["spec"]["properties"]["networkPolicy"]["properties"]["head"]["properties"]["ingressRules"]
    spec = {
        "podSelector": rules["items"]["properties"]["from"]["items"]["properties"]["podSelector"],
        "policyTypes": {"type": "array", "items": {"type": "string", "enum": ["Ingress", "Egress"]}},
        "ingress": rules,
    }
    fields = {"type": "object", "properties": spec, "required": ["podSelector"], "additionalProperties": False}
    return {**cluster, "properties": {**own, "spec": fields}}


def main() -> None:
    """Writes the part that is kept in the repository."""
    folder = real_folder()
    if folder is None:
        raise SystemExit("the whole schemas are not here: KUBERAY_SCHEMAS=FOLDER")
    REDUCED.write_text(json.dumps(parts(whole(folder)), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
