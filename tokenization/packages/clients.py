"""Ask the user's own `pip`, `npm` or `apt-get` for the one file of a package.

A client gets an empty folder, leaves a file with one of the ENDINGS in it, and returns the file's version. It installs
nothing and needs no root. The system's apt is never touched: lists, caches and state lie in a folder of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from tokenization.packages.table import Package
from tokenization.records import Language

ENDINGS = (".deb", ".whl", ".tar.gz", ".tgz", ".index")
SECONDS_PER_COMMAND = 300

# Debian's own clean-up hooks would reach outside these folders. Icons and software metadata are never read here.
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

Download = Callable[[Package, Path], str]


class FetchError(RuntimeError):
    """A package could not be fetched. The message is the reason that its client gave."""


def file_in(folder: Path) -> Path:
    """Return the file that a client left."""
    (file,) = (path for path in folder.iterdir() if path.name.endswith(ENDINGS))
    return file


def pip(package: Package, folder: Path) -> str:
    """Download a wheel. A source archive is fetched only with a known digest, since pip runs code of it."""
    wanted = f"{package.package}=={package.version}" if package.version else package.package
    options = ["--no-deps", "--disable-pip-version-check", "--no-input", "--quiet", "--timeout=20", "--retries=1",
               f"--dest={folder}"]  # fmt: skip
    if package.sha256:
        (folder / "requirement.txt").write_text(f"{wanted} --hash=sha256:{package.sha256}\n")
        options += ["--no-binary=:all:", "--requirement=requirement.txt"]
    else:
        options += ["--only-binary=:all:", wanted]
    _run([sys.executable, "-m", "pip", "download", *options], folder)
    return file_in(folder).name.removesuffix(".tar.gz").split("-")[1]


def npm(package: Package, folder: Path) -> str:
    """Download a package without running its scripts."""
    if shutil.which("npm") is None:
        raise FetchError("this system has no npm, which fetches npm packages")
    options = ["--silent", "--ignore-scripts", f"--cache={folder}/.npm", f"--pack-destination={folder}"]
    _run(["npm", "pack", *options, f"{package.package}@{package.version}"], folder)
    shutil.rmtree(folder / ".npm", ignore_errors=True)
    return file_in(folder).name.removesuffix(".tgz").rsplit("-", 1)[1]


class Apt:
    """apt-get with package lists of its own in `folder`. It updates them first, with descriptions in `languages`.

    If there is no apt-get, or the update fails, `download` raises FetchError with the reason for each package.
    """

    def __init__(self, folder: Path, languages: set[Language]) -> None:
        self._command: list[str] = []
        self._warnings = ""
        if shutil.which("apt-get") is None:
            return
        for part in ("state", "lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        conf = folder / "apt.conf"
        conf.write_text(_APT_CONF.format(folder=folder))
        options = (f"--option=Acquire::Languages={name}" for name in languages)
        self._command = ["apt-get", f"--config-file={conf}", *options]
        try:
            said = _run([*self._command, "-qq", "update"], folder)
        except FetchError as error:
            said = str(error)
        self._warnings = f"; the update of the package lists said: {said[:200]}" if said else ""

    def download(self, package: Package, folder: Path) -> str:
        """Download a package, or the index with the descriptions of all packages."""
        if not self._command:
            raise FetchError("this system has no apt-get, which fetches Debian packages")
        return self._descriptions(package, folder) if package.client == "apt-index" else self._deb(package, folder)

    def _deb(self, package: Package, folder: Path) -> str:
        try:
            _run([*self._command, "-qq", "download", package.package], folder)
        except FetchError as error:
            raise FetchError(f"{error}{self._warnings}") from error
        return urllib.parse.unquote(file_in(folder).name.split("_")[1])

    def _descriptions(self, package: Package, folder: Path) -> str:
        """Write the descriptions in the package's language, from the first release that has any."""
        wanted = ["Created-By: Translations", f"Language: {package.language}", "--format=$(CODENAME) $(FILENAME)"]
        _run([*self._command, "indextargets", *wanted], folder, "targets")
        targets = (folder / "targets").read_text().splitlines()
        if not targets:
            raise FetchError(f"the package lists have no descriptions in {package.language!r}{self._warnings}")
        release, _, packed = targets[0].partition(" ")
        _run(["/usr/lib/apt/apt-helper", "cat-file", packed], folder, f"{package.name}_{release}.index")
        return release


def _run(command: list[str], folder: Path, output: str = os.devnull) -> str:
    """Run a command and return what it wrote to stderr. Its stdout goes to the file `output` of the folder.

    Raises FetchError if the command fails, is missing or takes too long.
    """
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
