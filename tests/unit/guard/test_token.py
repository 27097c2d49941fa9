"""A token that cannot be used is explained by its place, and never shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobs.stage import ray_setup
from pipelines.cluster import Cluster, SubmitError
from pipelines.guard.token import Token, TokenError


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("value", ["ab\ncd", "zażółć", "two words", "x" * 5000])
def test_a_token_that_no_header_takes(monkeypatch, value):
    monkeypatch.setenv("RAY_AUTH_TOKEN", value)
    with pytest.raises(TokenError, match="RAY_AUTH_TOKEN: holds no token") as error:
        Token.find()
    assert value not in f"{error.value} {error.value.__cause__}" and "get-auth-token" in error.value.remedy


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"\xff\xfe" * 32, "holds no token"), (b"", "is empty"), (None, "no such file"), ("folder", "Is a directory")],
)
def test_a_file_that_holds_no_token(monkeypatch, tmp_path, content, reason):
    file = tmp_path / "token"
    if content == "folder":
        file.mkdir()
    elif content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    with pytest.raises(TokenError, match=f"RAY_AUTH_TOKEN_PATH={file}: .*{reason}"):
        Token.find()


def test_the_token_is_part_of_no_representation(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "hush-hush")
    assert "hush" not in repr(Token.find())


@pytest.mark.parametrize("error", [RuntimeError("Could not determine home directory"), PermissionError(13, "denied")])
def test_without_a_home_that_may_be_read_there_is_no_token(monkeypatch, error):
    def no_home():
        raise error

    monkeypatch.setattr(Path, "home", no_home)
    assert Token.find() is None and ray_setup.token_file() is None
    monkeypatch.setattr(ray_setup, "sys", type("Fresh", (), {"modules": {}}))
    assert ray_setup._authentication()["RAY_AUTH_MODE"] == "token"  # of a private Ray


@pytest.mark.parametrize(("address", "is_used"), [("", False), ("local", False), ("127.0.0.1:6379", True)])
def test_a_private_ray_takes_no_token_of_a_cluster(monkeypatch, tmp_path, address, is_used):
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_bytes(b"\xef\xbb\xbfa-token")
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(ray_setup, "sys", type("Fresh", (), {"modules": {}}))
    assert ("RAY_AUTH_TOKEN" not in ray_setup._authentication()) == is_used


def test_a_file_that_may_not_be_read_is_none_of_ours(monkeypatch, tmp_path):
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("token-of-another")
    assert Token.find().value == "token-of-another"
    monkeypatch.setattr(os, "access", lambda *_: False)  # as it is for anybody but root
    assert Token.find() is None


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:notaport",
        "http://[::1",
        "http://127.0.0.1:99999",
        "http://a b:1",
        "http://:1",
        "ftp://h",
        "http://a..b:1",
        "http://żółć:1",
        "http://127.0.0.1:1/ż",
    ],
)
def test_an_address_of_no_server(address):
    with pytest.raises(SubmitError, match="--address .*: not an"):
        Cluster(address)


def test_a_login_in_an_address_is_refused_and_not_shown():
    with pytest.raises(SubmitError, match=r"http://u:\*\*\*@h:8265") as error:
        Cluster("http://u:hush-hush@h:8265")
    assert "hush" not in str(error.value)
