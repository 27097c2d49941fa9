"""Shows models in MLflow: what a run made, which models a run read, and the versions of the model to hand over. Weights
stay in the artifact store, and a tag names the place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.guard.addresses import masked_address

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")  # a large model has the index


class Shown(NamedTuple):
    """A complete artifact that MLflow shows: its run there, its manifest, and where it lies."""

    run_id: str
    manifest: Mapping[str, Any]
    uri: str


def show_lineage(client: MlflowClient, run: Run, experiments: Sequence[str], made: Shown) -> str | None:
    """Names on the run of an artifact the models that it read, found in `experiments`, and the one that it made.
    Returns the id of that model, None if it made none. What is shown already stays as it is."""
    from mlflow.entities import LoggedModelInput, LoggedModelOutput

    sources = [_find(client, experiments, _name(source)) for source in made.manifest["inputs"].values()]
    shown = {known.model_id for known in run.inputs.model_inputs} if run.inputs else set()
    new = {model for model in sources if model} - shown
    if new:
        client.log_inputs(made.run_id, models=[LoggedModelInput(model) for model in sorted(new)])
    if not any(name.rpartition("/")[2] in WEIGHTS for name in made.manifest["outputs"]):
        return None
    name = _name(made.manifest)
    if known := _find(client, experiments, name):
        return known
    tags = {f"rxt.{key}": str(made.manifest[key]) for key in ("stage", "artifact_id", "content_digest", "result")}
    tags["rxt.artifact_uri"] = masked_address(made.uri)
    model = client.create_logged_model(run.info.experiment_id, name, made.run_id, tags, model_type="RxT")
    client.log_outputs(made.run_id, [LoggedModelOutput(model.model_id, 0)])
    client.finalize_logged_model(model.model_id, "READY")
    return model.model_id


def is_to_hand_over(made: Shown) -> bool:
    """Whether the folder of the artifact itself is a model, and not a folder in it."""
    return any(name in WEIGHTS for name in made.manifest["outputs"])


def register(client: MlflowClient, name: str, model_id: str, made: Shown, text: str) -> None:
    """Makes a model a version of the registered model `name`, described by a `text` in Markdown, unless it is one."""
    import mlflow

    source = f"models:/{model_id}"
    if any(version.source == source for version in client.search_model_versions(f"name = '{name}'")):
        return
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    tags = {"rxt.artifact_id": made.manifest["artifact_id"], "rxt.artifact_uri": masked_address(made.uri)}
    mlflow.set_tracking_uri(client.tracking_uri)  # the registry looks for the model where this global says
    client.create_model_version(
        name, source, made.run_id, tags, description=text, model_id=model_id, await_creation_for=0
    )


def _name(artifact: Mapping[str, Any]) -> str:
    return f"{artifact['stage']}-{artifact['artifact_id']}"


def _find(client: MlflowClient, experiments: Sequence[str], name: str) -> str | None:
    found = client.search_logged_models(list(experiments), f"name = '{name}'")
    return next((model.model_id for model in found if model.status == "READY"), None)
