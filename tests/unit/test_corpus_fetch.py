"""The cache of packages, and real clients asked for packages that do not exist."""

import shutil

import pytest
from text_packages import wheel

from tokenization import fetch as fetching
from tokenization.fetch import PACKAGES, Package, cache_folder, fetch, path_of


@pytest.fixture
def local_index(tmp_path, monkeypatch):
    """pip reads wheels from a folder instead of a registry; apt-get is not on the path."""
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
    assert fetching.main() == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "a-deb" in said[0] and "no text at all" in said[1]


def test_cache_lies_in_the_working_copy_unless_told(monkeypatch, tmp_path):
    monkeypatch.delenv("RXT_CACHE", raising=False)
    assert cache_folder().is_absolute() and cache_folder().parts[-2:] == (".rxt", "cache")
    monkeypatch.setenv("RXT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


def test_known_packages_have_licences():
    assert all(package.licence and package.name == name for name, package in PACKAGES.items())
