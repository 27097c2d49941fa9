"""Fetch packages that contain text with the user's own `pip`, `apt-get` and `npm` into a cache outside version control.

Nothing is installed, root is not needed, and the system's apt is never touched: lists, caches and state lie in the
cache folder. `python -m tokenization.packages.fetch` fetches the few packages of the tiny demo, with names those that
are named, with `--all` all known ones, and says what it has.
"""

from __future__ import annotations

import argparse
import fcntl
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

from tokenization.files.cache import cache_folder
from tokenization.files.integrity import sha256_of
from tokenization.files.storage import write_json
from tokenization.packages.table import FEW, PACKAGES, Client, Package
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


_REGISTRIES: dict[Client, str] = {"apt": "Debian", "apt-index": "Debian", "npm": "npm", "pip": "PyPI"}
_ENDINGS = (".deb", ".whl", ".tar.gz", ".tgz", ".index")


class FetchError(RuntimeError):
    """A package that could not be had, with the reason its client gave."""


@dataclass(frozen=True)
class Fetched:
    """A package file in the cache. `version` is what the registry gave, `sha256` of the file."""

    package: str
    client: Client
    version: str
    file: str
    bytes: int
    sha256: str

    @property
    def origin(self) -> str:
        """Where it came from, in words."""
        return f"{_REGISTRIES[self.client]} package {self.package} {self.version}"


def fetch(packages: Iterable[Package], cache: Path | None = None) -> tuple[dict[str, Fetched], dict[str, str]]:
    """What could be had, and for each package that could not be had, why; both by name, in the order given.

    What is in the cache with a matching checksum is not fetched again; a file with several sources is fetched once.
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
            others = [p for p in missing if p.client in _CLIENTS]
            futures = [(p, pool.submit(_CLIENTS[p.client], p, folder / p.package)) for p in others]
            if from_apt := [p for p in missing if p.client not in _CLIENTS]:
                apt = _apt_client(folder.parent / "apt", {p.language for p in from_apt if p.client == "apt-index"})
                futures += [(p, pool.submit(_apt, apt, p, folder / p.package)) for p in from_apt]
            for package, future in futures:
                try:
                    have[package.package] = future.result()
                except FetchError as error:
                    why[package.package] = str(error)
    got = {p.name: fetched for p in packages if (fetched := have[p.package]) is not None}
    return got, {p.name: why[p.package] for p in packages if p.package in why}


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
    return fetched if file.exists() and sha256_of(str(file)) == fetched.sha256 else None


def _keep(package: Package, folder: Path, version_of: Callable[[str], str]) -> Fetched:
    (file,) = (path for path in folder.iterdir() if path.name.endswith(_ENDINGS))
    fetched = Fetched(package.package, package.client, version_of(file.name), file.name, file.stat().st_size,
                      sha256_of(str(file)))  # fmt: skip
    write_json(str(folder / "package.json"), asdict(fetched))
    return fetched


def _pip(package: Package, folder: Path) -> Fetched:
    """Wheels only, since pip runs code of a source archive: such a one needs the digest of what was read before."""
    _empty(folder)
    wanted = f"{package.package}=={package.version}" if package.version else package.package
    options = ["--no-deps", "--disable-pip-version-check", "--no-input", "--quiet", "--timeout=20", "--retries=1",
               f"--dest={folder}"]  # fmt: skip
    if package.sha256:
        (folder / "requirement.txt").write_text(f"{wanted} --hash=sha256:{package.sha256}\n")
        options += ["--no-binary=:all:", "--requirement=requirement.txt"]
    else:
        options += ["--only-binary=:all:", wanted]
    _run([sys.executable, "-m", "pip", "download", *options], folder)
    return _keep(package, folder, lambda name: name.removesuffix(".tar.gz").split("-")[1])


def _npm(package: Package, folder: Path) -> Fetched:
    if shutil.which("npm") is None:
        raise FetchError("this system has no npm, which npm packages are fetched with")
    _empty(folder)
    options = ["--silent", "--ignore-scripts", f"--cache={folder}/.npm", f"--pack-destination={folder}"]
    _run(["npm", "pack", *options, f"{package.package}@{package.version}"], folder)
    shutil.rmtree(folder / ".npm", ignore_errors=True)
    return _keep(package, folder, lambda name: name.removesuffix(".tgz").rsplit("-", 1)[1])


_CLIENTS = {"pip": _pip, "npm": _npm}


def _apt(client: _Apt | str, package: Package, folder: Path) -> Fetched:
    if isinstance(client, str):
        raise FetchError(client)
    _empty(folder)
    if package.client == "apt-index":
        return _translations(client, package, folder)
    try:
        _run([*client.command, "-qq", "download", package.package], folder)
    except FetchError as error:
        raise FetchError(f"{error}{client.warnings}") from error
    return _keep(package, folder, lambda name: urllib.parse.unquote(name.split("_")[1]))


def _translations(client: _Apt, package: Package, folder: Path) -> Fetched:
    """The index of the descriptions of all packages in one language, of the first release that has one."""
    wanted = ["Created-By: Translations", f"Language: {package.language}", "--format=$(CODENAME) $(FILENAME)"]
    _run([*client.command, "indextargets", *wanted], folder, "targets")
    targets = (folder / "targets").read_text().splitlines()
    if not targets:
        raise FetchError(f"the package lists have no descriptions in {package.language!r}{client.warnings}")
    release, _, packed = targets[0].partition(" ")
    name = f"{package.name}_{release}.index"
    _run(["/usr/lib/apt/apt-helper", "cat-file", packed], folder, name)
    return _keep(package, folder, lambda name: name.removesuffix(".index").split("_")[1])


@dataclass(frozen=True)
class _Apt:
    command: list[str]
    warnings: str


def _apt_client(folder: Path, languages: set[Language]) -> _Apt | str:
    """apt-get with lists of its own, just updated, with descriptions in `languages`; or why there is none."""
    if shutil.which("apt-get") is None:
        return "this system has no apt-get, which Debian packages are fetched with"
    for part in ("state", "lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    conf = folder / "apt.conf"
    conf.write_text(_APT_CONF.format(folder=folder))
    command = ["apt-get", f"--config-file={conf}", *(f"--option=Acquire::Languages={name}" for name in languages)]
    try:
        said = _run([*command, "-qq", "update"], folder)
    except FetchError as error:
        said = str(error)
    return _Apt(command, f"; the update of the package lists said: {said[:200]}" if said else "")


def _run(command: list[str], folder: Path, output: str = os.devnull) -> str:
    """What the command complained about; what else it said goes to the file `output` of the folder. Raises FetchError
    when it fails, is missing or takes too long."""
    try:
        with (folder / output).open("wb") as file:
            done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.PIPE,
                                  text=True, timeout=SECONDS_PER_COMMAND,
                                  env={**os.environ, "LC_ALL": "C.UTF-8"})  # fmt: skip
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


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """One process at a time fills the cache; the lock goes with the process."""
    with file.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tokenization.packages.fetch", description="Fetch packages with text in them."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(PACKAGES)}")
    parser.add_argument("--all", action="store_true", help="all of them")
    chosen = parser.parse_args(arguments)
    names = list(PACKAGES) if chosen.all else chosen.names or FEW
    if unknown := [name for name in names if name not in PACKAGES]:
        parser.error(f"no package is known by the name {unknown[0]!r}; there are {', '.join(PACKAGES)}")
    got, why = fetch(PACKAGES[name] for name in names)
    for fetched in dict.fromkeys(got.values()):
        print(f"have  {fetched.origin}  {fetched.bytes / 1e6:.1f} MB  sha256 {fetched.sha256[:12]}")
    for name, reason in why.items():
        print(f"lacks {name}: {reason}", file=sys.stderr)
    if not got:
        print("no text at all: none of the packages could be had (see above)", file=sys.stderr)
    return 0 if got else 1


if __name__ == "__main__":
    raise SystemExit(main())
