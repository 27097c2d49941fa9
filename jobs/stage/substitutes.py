"""Young packages that a stage can do without. What takes their place gives other results, so the config says so."""

from __future__ import annotations

import json
from collections.abc import Collection
from importlib import import_module

from jobs.stage.context import Change, StageError

_MODULES = {"rensa": "rensa", "py3langid": "py3langid", "choppa-srx": "choppa"}
_INSTEAD = {
    "rensa": "numpy computes the signatures of documents",
    "py3langid": "resiliparse tells languages",
    "choppa-srx": "sentences end by few rules of this project",
}


def substitutions(section: str, packages: Collection[str], without: Collection[str]) -> list[str]:
    """One line for each of the `packages` that a stage does `without`, as its `section` of the config says. Raises
    StageError for any other that cannot be imported."""
    for package in packages:
        if package in without:
            continue
        try:
            import_module(_MODULES[package])
        except ImportError as error:
            raise StageError(
                f"{package} cannot be imported: {error}. Without it, {_INSTEAD[package]}, which gives other results",
                Change(f"{section}.without", json.dumps([*without, package])),
            ) from error
    return [f"without {package}, {_INSTEAD[package]}" for package in packages if package in without]
