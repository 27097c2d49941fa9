"""Lays `--config file.toml` and `--set a.b=c` over a preset. An error names the key or value, and a remedy."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError

from jobs.stage.context import StageError
from pipelines.config import PipelineConfig
from pipelines.fingerprint import flatten, plain
from pipelines.guard.addresses import masked

_ADD = ".add"  # after the key of a list: what follows goes to its end
SHOW_KEYS = "rxt run --dry-run     shows every key"
_SHOW_CONFIG = "rxt run --config FILE --dry-run     shows what a file changes"


def resolve(preset: PipelineConfig, file: Path | None = None, sets: Sequence[str] = ()) -> PipelineConfig:
    """The preset with the keys of `file` replaced, then those of `sets`. Raises StageError."""
    return laid_over(preset, read(file, sets))


def laid_over(preset: PipelineConfig, overrides: Mapping[str, Any]) -> PipelineConfig:
    """The preset with what `read` found. Raises StageError.

    Every configuration goes through here, changed or not, so that equal values have equal fingerprints: a preset may
    say 1 where a file says 1.0.
    """
    tree = plain(preset)
    for key, value in overrides.items():
        *path, last = key.removesuffix(_ADD).split(".")
        node = tree
        for part in path:
            if not isinstance(node.get(part), dict):  # None: an optional group that the preset leaves out
                node[part] = {}
            node = node[part]
        node[last] = (
            [*_list(key.removesuffix(_ADD), node.get(last) or []), *_list(key, value)] if key.endswith(_ADD) else value
        )
    try:
        return PipelineConfig.model_validate_json(json.dumps(tree), strict=True)
    except ValidationError as error:
        lines = [_explain(problem) for problem in _first_hand(error.errors())]
        raise StageError("\n  ".join(dict.fromkeys(lines)), SHOW_KEYS) from error


def read(file: Path | None, sets: Sequence[str]) -> dict[str, Any]:
    """{dotted key: value} of all overrides; later ones win. Raises StageError for a key that does not exist."""
    found = _from_file(file) if file else {}
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise StageError(f"--set {text}: not KEY=VALUE", "rxt run --set pretrain.optimizer.lr=0.0003")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise StageError(f"--set {key}: its value is no UTF-8", SHOW_KEYS) from error
        found |= _leaves({key.strip(): _value(value.strip())})
    for key, value in found.items():
        try:
            json.dumps(value)
        except TypeError as error:
            raise StageError(f"{key}: no setting takes a date or a time; a text stands in quotes", SHOW_KEYS) from error
        except (ValueError, RecursionError) as error:  # thousands of digits, lists in lists in lists
            raise StageError(f"{key}: {error}", SHOW_KEYS) from error
        if any(masked(text) != text for pair in flatten(value) for text in map(str, pair)):
            raise StageError(
                f"{key} holds a login, and artifacts and MLflow record every setting",
                "give the login in the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
    return found


def shown(overrides: Mapping[str, Any]) -> tuple[str, ...]:
    """`key=value` lines, values as TOML writes them."""
    return tuple(f"{key}={value if isinstance(value, str) else _toml(value)}" for key, value in overrides.items())


def settings(config: Any, prefix: str = "") -> Iterator[str]:
    """`key = value` lines of a config, as `--set` and a file take them. Lists are set whole. A key without a value
    becomes a comment, since TOML cannot write it."""
    for name in _members(type(config)):
        key, value = f"{prefix}{name}", getattr(config, name)
        if _members(type(value)):
            yield from settings(value, f"{key}.")
        elif value is None:
            yield f"# {key} is not set"
        elif isinstance(value, tuple) and any(_members(type(item)) for item in value):
            yield f"{key} = ["
            yield from (f"  {_toml(plain(item))}," for item in value)
            yield "]"
        else:
            yield f"{key} = {_toml(plain(value))}"


def known_keys(kind: Any = PipelineConfig, prefix: str = "") -> Iterator[str]:
    """Every key that can be set. A group stands before its members, a list of groups before the key that adds to it."""
    for name, annotation in _members(kind).items():
        yield f"{prefix}{name}"
        yield from known_keys(annotation, f"{prefix}{name}.")
        if any(_members(member) for member in get_args(annotation) if get_origin(annotation) is tuple):
            yield f"{prefix}{name}{_ADD}"


@cache
def _all_keys() -> tuple[str, ...]:
    return tuple(known_keys())


def _members(annotation: Any) -> dict[str, Any]:
    """The fields of a config class, also inside `X | None`. Empty for a leaf."""
    if get_origin(annotation) in (tuple, list, dict):
        return {}
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return {name: field.annotation for name, field in kind.model_fields.items()}
        if isinstance(kind, type) and is_dataclass(kind):
            return get_type_hints(kind)
    return {}


def _from_file(file: Path) -> dict[str, Any]:
    try:
        return _leaves(tomllib.loads(file.read_text(encoding="utf-8-sig")))
    except FileNotFoundError as error:
        raise StageError(f"--config {file}: no such file", _SHOW_CONFIG) from error
    except IsADirectoryError as error:
        raise StageError(f"--config {file}: is a folder", _SHOW_CONFIG) from error
    except UnicodeDecodeError as error:
        raise StageError(f"--config {file}: is not UTF-8; save it as UTF-8", _SHOW_CONFIG) from error
    except (OSError, ValueError, RecursionError) as error:  # not TOML, or a number of thousands of digits
        raise StageError(f"--config {file}: {error}", _SHOW_CONFIG) from error


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        key = f"{prefix}{name}"
        is_group = isinstance(value, Mapping) and value and not _is_leaf(key)
        leaves = _leaves(value, f"{key}.") if is_group else {_checked(key): value}
        for twice in sorted(found.keys() & leaves.keys()):
            raise StageError(f"{twice} is set twice; a dash and an underscore are the same", SHOW_KEYS)
        found |= leaves
    return found


def _is_leaf(key: str) -> bool:
    """Whether the value of this key is set whole. That includes mappings whose names the user chooses."""
    spelled, known = _spelled(key), _all_keys()
    return spelled in known and not any(other.startswith(f"{spelled}.") for other in known)


def _list(key: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise StageError(f"{key} = {_toml(value)}: expected a list", SHOW_KEYS)
    return value


def _spelled(key: str) -> str:
    """The key as the configuration spells it. Users may write sections with dashes, as stages do."""
    return key.replace("-", "_")


def _checked(key: str) -> str:
    """The key as the configuration spells it. Raises StageError if there is no such key."""
    spelled, known = _spelled(key), _all_keys()
    if spelled not in known:
        near = difflib.get_close_matches(spelled, [name for name in known if not name.endswith(_ADD)], 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise StageError(f"{key}: unknown{hint}", SHOW_KEYS)
    return spelled


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _toml(value: Any) -> str:
    """Plain data on one line, as TOML writes it. Members without a value are left out."""
    if isinstance(value, Mapping):
        members = (f"{_bare(name)} = {_toml(member)}" for name, member in value.items() if member is not None)
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _bare(name: str) -> str:
    """A key of TOML, in quotes where it needs them."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _first_hand(problems: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The problems without those that follow from others. For instance, pydantic calls a list too short after it
    refused its members."""

    def holds_another(place: tuple[int | str, ...]) -> bool:
        return any(len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in problems)

    return [p for p in problems if p["type"] != "too_short" or not holds_another(p["loc"])]


def _explain(problem: Mapping[str, Any]) -> str:
    """One line for a pydantic error: the key, the value, what was expected."""
    parts = [str(part) for part in problem["loc"]]
    message = problem["msg"]
    if problem["type"] == "json_invalid":  # lists in lists in lists
        return message
    if problem["type"] == "value_error":  # raised by the model's own checks, which name field, value and rule
        rule = str(problem["ctx"]["error"])
        if parts and rule.startswith(f"{parts[-1]}."):
            parts.pop()
        return ".".join([*parts, rule])
    if problem["type"] == "missing":
        return f"{'.'.join(parts)}: missing"
    if problem["type"] == "too_short":
        least = problem["ctx"]["min_length"]
        message = f"expected at least {least} item{'s' * (least > 1)}"
    expected = message.replace("Input should be", "expected", 1)
    return f"{'.'.join(parts)} = {json.dumps(problem['input'])}: {expected}"
