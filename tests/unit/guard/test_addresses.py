"""Addresses are shown without their secrets, and this machine is reached without a proxy."""

from __future__ import annotations

import http.server
import os
import threading
import urllib.request

import pytest

from pipelines.guard import transport
from pipelines.guard.addresses import (
    LOOPBACK,
    has_secret,
    is_loopback,
    masked,
    masked_address,
    passwords,
    reach_directly,
    without_user,
)
from pipelines.guard.transport import protect
from pipelines.session import store_url, tracking_uri
from tokenization.files.cache import cache_folder

PASSWORD = "s3cr3tPW"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:s3cr3tPW@127.0.0.1:1/db", "postgresql://u:***@127.0.0.1:1/db"),
        ("mysql+pymysql://u:a@s3cr3tPW@h/db", "mysql+pymysql://u:***@h/db"),
        ("postgresql://u:a/b#s3cr3tPW@h/db", "postgresql://u:***@h/db"),
        ("https://s3cr3tPW@h/x", "https://***@h/x"),
        ("postgresql:///db?host=h&password=s3cr3tPW&x=1", "postgresql:///db?host=h&password=***&x=1"),
        ("memory:///u:s3cr3tPW@b/x", "memory:///u:***@b/x"),
        ("http://u:s3cr3tPW@h:5/a@b", "http://u:***@b"),
        ("http://u:12/s3cr3tPW@h", "http://u:***@h"),
        ("https://u.v:12?s3cr3tPW@h:5/x", "https://u.v:***@h:5/x"),
        ("s3://u:1#s3cr3tPW@b/x", "s3://u:***@b/x"),
    ],
)
def test_a_secret_in_an_address_is_hidden(url, shown):
    assert masked(url) == masked_address(url) == shown and has_secret(url) and PASSWORD not in shown
    assert masked(shown) == masked_address(shown) == shown


@pytest.mark.parametrize(
    "password",
    [
        "it's3cr3tPW",
        's3"cr3tPW',
        "<s3cr3tPW>",
        "my s3cr3tPW",
        "12/s3cr3tPW",
        "12#s@3/c",
        "/s3cr3tPW",
        "'",
        " s3 ",
        "12",
    ],
)
def test_a_password_of_any_characters_is_hidden(password):
    for scheme in ("postgresql", "mysql+pymysql"):
        url = f"{scheme}://u:{password}@h:1/db"
        assert masked_address(url) == f"{scheme}://u:***@h:1/db" and has_secret(url) and passwords(url) == {password}
        assert without_user(url) == f"{scheme}://h:1/db"
        told = f"error: '{url}', or \"{url}\" failed"
        assert password.startswith(" ") or masked(told) == told.replace(f":{password}@", ":***@")


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", " "])
def test_the_end_of_the_line_from_which_an_address_came_is_no_part_of_it(monkeypatch, tmp_path, end):
    monkeypatch.setenv("RXT_STORE", f"{tmp_path}/store{end}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://host:5000{end}")
    monkeypatch.setenv("RXT_CACHE", f"{tmp_path}/cache{end}")
    assert (store_url(), tracking_uri(), cache_folder()) == (
        f"{tmp_path}/store",
        "http://host:5000",
        tmp_path / "cache",
    )
    for name in ("RXT_STORE", "MLFLOW_TRACKING_URI", "RXT_CACHE"):
        monkeypatch.setenv(name, end)
    assert "\n" not in f"{store_url()}{tracking_uri()}{cache_folder()}" and store_url().endswith("/artifacts")


def test_a_message_about_an_address_with_a_port_stays():
    for told in ("http://host:5000: write to a@b", "'http://host:5000' and a@b", "http://host:5000/x, http://h:1. a@b"):
        assert masked(told) == told
    assert masked("MLflow at http://u:s3cr3tPW@h:1/x failed") == "MLflow at http://u:***@h:1/x failed"


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/a@b",
        "http://127.0.0.1:5000/a@b",
        "http://localhost:5000/a@b",
        "http://host:5000/a",
        "sqlite:////a/b@c.db",
        "http://[::1]:5/@",
        "sqlite:///a@b.db",
        "/a:b@c",
    ],
)
def test_an_address_without_a_secret_stays(url):
    assert masked(url) == masked_address(url) == without_user(url) == url and not has_secret(url)


def test_an_address_for_a_job_has_no_login():
    assert without_user("http://u:p@h:5000/x") == "http://h:5000/x"


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8265", True),
        ("http://127.8.0.1:1", True),
        ("http://[::1]:1/x", True),
        ("http://localhost", True),
        ("http://h:1", False),
        ("http://127.0.0.1.example.org", False),
    ],
)
def test_this_machine_is_told_apart(url, here):
    assert is_loopback(url) == here


@pytest.fixture
def asked(monkeypatch):
    """Set a proxy that refuses everything, and give what it was asked."""
    heard = []

    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(f"{self.path} {self.headers}")
            self.send_error(502)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(transport, "_warned", set())
    for name in ("http_proxy", "https_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "" if name.lower() == "no_proxy" else f"http://127.0.0.1:{server.server_port}")
    yield heard
    server.shutdown()


@pytest.fixture
def service():
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_this_machine_is_reached_without_the_proxy(asked, service):
    opener = urllib.request.build_opener()  # urlopen keeps the proxies of its first call
    with pytest.raises(OSError, match="502"):
        opener.open(service)
    asked.clear()
    reach_directly(*LOOPBACK)
    opener.open(service).close()
    assert asked == [] and os.environ["no_proxy"].split(",") == list(LOOPBACK)


def test_a_token_goes_through_no_proxy_in_clear_text_and_the_user_is_warned_once(asked, capsys):
    for _ in range(2):
        protect("http://user:s3cr3tPW@cluster.invalid:8265", "the token of the cluster")
    request = urllib.request.Request("http://cluster.invalid:8265/x", headers={"Authorization": "Bearer abc"})
    with pytest.raises(OSError):
        urllib.request.build_opener().open(request, timeout=5)
    assert asked == []
    warning = "warning: the token of the cluster goes to http://user:***@cluster.invalid:8265 in clear text"
    assert capsys.readouterr().err.count(warning) == 1


def test_without_a_secret_or_with_tls_the_proxy_stays(asked, capsys):
    protect("http://cluster.invalid:8265", "")
    protect("https://cluster.invalid:8265", "the token of the cluster")
    assert os.environ["no_proxy"] == "" and capsys.readouterr().err == ""
