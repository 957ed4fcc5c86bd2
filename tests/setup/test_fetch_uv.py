"""scripts/fetch_uv.py against a small package index on this machine."""

import functools
import hashlib
import http.server
import importlib.util
import io
import pathlib
import threading
import zipfile

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts/fetch_uv.py"
WHEEL = "uv-1.2.3-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"


@pytest.fixture
def fetch_uv():
    spec = importlib.util.spec_from_file_location("fetch_uv", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def index(tmp_path, monkeypatch):
    """Serves an index with one uv wheel, sets PIP_INDEX_URL to it, and returns its folder."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("uv-1.2.3.data/scripts/uv", "#!/bin/sh\necho uv 1.2.3\n")
        archive.writestr("uv-1.2.3.data/scripts/uvx", "another program")
    folder = tmp_path / "index"
    (folder / "simple/uv").mkdir(parents=True)
    (folder / WHEEL).write_bytes(content.getvalue())
    digest = hashlib.sha256(content.getvalue()).hexdigest()
    (folder / "simple/uv/index.html").write_text(
        f'<a href="../../uv-1.2.3.tar.gz">source</a> <a href="../../{WHEEL}#sha256={digest}">{WHEEL}</a>'
    )

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple/")
    yield folder
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def x86_64(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def test_fetches_a_program_that_can_be_run(fetch_uv, index, tmp_path):
    fetch_uv.main("1.2.3", tmp_path / "bin")
    assert (tmp_path / "bin/uv").read_text().endswith("echo uv 1.2.3\n")
    assert (tmp_path / "bin/uv").stat().st_mode & 0o111


def test_damaged_file_is_refused(fetch_uv, index, tmp_path):
    (index / WHEEL).write_bytes((index / WHEEL).read_bytes() + b"x")
    with pytest.raises(SystemExit, match="SHA-256"):
        fetch_uv.main("1.2.3", tmp_path / "bin")
    assert not (tmp_path / "bin").exists()


def test_index_without_this_version(fetch_uv, index, tmp_path):
    with pytest.raises(SystemExit, match=r"expected a link to uv-9\.9\.9-"):
        fetch_uv.main("9.9.9", tmp_path / "bin")


def test_unreachable_index_names_the_settings(fetch_uv, monkeypatch, tmp_path):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://user:secret@127.0.0.1:9/simple")
    with pytest.raises(SystemExit, match="PIP_INDEX_URL") as error:
        fetch_uv.main("1.2.3", tmp_path / "bin")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "https://pypi.org/simple"),
        ({"PIP_INDEX_URL": "https://pip.example/simple/"}, "https://pip.example/simple"),
        (
            {"PIP_INDEX_URL": "https://pip.example/simple", "UV_DEFAULT_INDEX": "n=https://uv.example"},
            "https://uv.example",
        ),
    ],
)
def test_index_url(fetch_uv, environment, expected):
    assert fetch_uv.index_url(environment) == expected
