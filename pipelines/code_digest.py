"""A digest of the modules that a stage reaches, so that a change of code is shown. It never makes a stage stale."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from tokenization.files.storage import temporary

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("jobs", "rxt_model", "tokenization")
_BY_NAME = re.compile(r"(?P<module>\w+(\.\w+)+):\w+")  # `module:name`, imported when it is needed

Found = tuple[str, frozenset[str]]  # digest and imports of a file

# What was found in files, by their content. To find it again would take every command a second. It lies beside what
# Python compiles of our sources, for the same reason, and may be deleted as that may be.
KEPT = Path(__file__).parent / "__pycache__" / f"code_digest.{sys.implementation.cache_tag}.json"
MOST_KEPT = 2_000  # files; edited ones leave theirs behind


def code_digest(function: str, root: Path = ROOT) -> dict[str, str]:
    """{file relative to `root`: digest} of the module in `module:name`, and of all modules of our packages that it
    imports, or names in this form.

    Data files in the folder of a module count as well. The sources are read and nothing is imported. Comments,
    docstrings and layout do not count.
    """
    found: dict[str, str] = {}
    open_modules = [function.partition(":")[0]]
    seen = set(open_modules)
    while open_modules:
        module = open_modules.pop()
        path = _source(module, root)
        if path is None:
            continue
        digest, imported = _read(path, path.stat().st_mtime_ns)
        found[path.relative_to(root).as_posix()] = digest
        for data in _data_files(path.parent):
            found[data.relative_to(root).as_posix()] = _digest_data(data, data.stat().st_mtime_ns)
        open_modules += imported - seen
        seen |= imported
    _keep()
    return dict(sorted(found.items()))


def changed_files(recorded: Mapping[str, str], current: Mapping[str, str]) -> list[str]:
    """The files that differ, appeared or vanished since `recorded`."""
    return sorted(name for name in {*recorded, *current} if recorded.get(name) != current.get(name))


def _source(module: str, root: Path) -> Path | None:
    if module.partition(".")[0] not in PACKAGES:
        return None
    base = root.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def _data_files(folder: Path) -> tuple[Path, ...]:
    """The data files of a folder's modules: TOML files in it and below, without those of other packages."""
    found = list(folder.glob("*.toml"))
    for below in folder.iterdir():
        if below.is_dir() and not (below / "__init__.py").exists():
            found += _data_files(below)
    return tuple(sorted(found))


@cache
def _digest_data(path: Path, _modified_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


@cache
def _read(path: Path, _modified_ns: int) -> Found:
    """Digest and imports of one file; `_modified_ns` only keys the cache."""
    source = path.read_bytes()
    key = hashlib.sha256(_this_file() + source).hexdigest()
    kept = _kept()
    if key not in kept:
        kept[key] = _new[key] = _parse(source.decode())
    return kept[key]


def _parse(source: str) -> Found:
    tree = ast.parse(source)
    imported: set[str] = set()
    for node in ast.walk(tree):
        imported.update(_imports(node))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16], frozenset(imported)


_new: dict[str, Found] = {}


@cache
def _this_file() -> bytes:
    """What `_parse` finds depends on it as well."""
    return Path(__file__).read_bytes()


@cache
def _kept() -> dict[str, Found]:
    try:
        return {key: (digest, frozenset(imported)) for key, (digest, imported) in json.loads(KEPT.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):  # nothing is kept, or it is damaged
        return {}


def _keep() -> None:
    """Write what was found for the first time. Where Python keeps nothing, or cannot, nothing is kept."""
    if not _new or sys.dont_write_bytecode:
        return
    kept = dict(_kept() if len(_kept()) <= MOST_KEPT else _new)  # other threads may add to them
    with suppress(OSError), temporary(KEPT.parent, KEPT.name) as file:
        file.write_text(json.dumps({key: (digest, sorted(imported)) for key, (digest, imported) in kept.items()}))
        file.replace(KEPT)
    _new.clear()


def _imports(node: ast.AST) -> Iterator[str]:
    """Names that may be modules; `from a import b` may mean the module a.b."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        if named := _BY_NAME.fullmatch(node.value):
            yield named["module"]
