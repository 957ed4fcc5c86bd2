"""TensorFlow Serving behind REST, played by a small HTTP server that is started as the binary would be."""

from __future__ import annotations

import base64
import json
import stat
import sys

import pytest

from components.serving_gate.gate import Trial, try_to_serve, verdict
from components.serving_gate.server import NotServed
from components.serving_gate.tasks import TASKS
from components.serving_gate.tensorflow_serving import TensorFlowServing
from components.serving_gate.timing import budgets
from evaluation.metrics import METRICS

BINARY = """#!{python}
import base64, http.server, json, os, sys, time
behaviour = {behaviour!r}
flags = dict(flag[2:].split("=", 1) for flag in sys.argv[1:])
versions = os.listdir(flags["model_base_path"])
if behaviour == "exits":
    print("could not find base path", file=sys.stderr)
    sys.exit(1)
asked = []

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, content, status=200):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        assert self.path == "/v1/models/" + flags["model_name"], self.path
        asked.append(self.path)
        state = "AVAILABLE" if len(asked) > 2 else "LOADING"
        if behaviour == "cannot load":
            state = "END"
        status = {{"error_code": "OK", "error_message": "no variables" if state == "END" else ""}}
        self.answer({{"model_version_status": [{{"version": versions[0], "state": state, "status": status}}]}})

    def do_POST(self):
        assert self.path.endswith(":predict"), self.path
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert body["signature_name"] == "serving_default"
        if behaviour == "hangs":
            time.sleep(60)
        if behaviour == "dies":
            os._exit(9)
        if behaviour == "refuses":
            return self.answer({{"error": "Op type not registered 'SentencepieceOp'"}}, 400)
        shares = [len(base64.b64decode(one["b64"])) / 10 for one in body["instances"]]
        self.answer({{"predictions": [
            {{"probabilities": [p, 1 - p], "classes": ["disc", "ring"], "label": {{"b64": "ZGlzYw=="}}}} for p in shares
        ]}})

http.server.ThreadingHTTPServer(("127.0.0.1", int(flags["rest_api_port"])), Handler).serve_forever()
"""


@pytest.fixture
def launch(tmp_path):
    """Gives a function that makes a server whose binary behaves in a certain way."""
    requests = tmp_path / "requests"
    requests.write_bytes(b"\n".join(base64.b64encode(b"x" * size) for size in (6, 7, 8, 9)) + b"\n")

    def make(behaviour="", timeout=20.0):
        binary = tmp_path / "tensorflow_model_server"
        binary.write_text(BINARY.format(python=sys.executable, behaviour=behaviour))
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR)

        def one(name, model):
            folder = tmp_path / f"{name}-process"
            folder.mkdir()
            return TensorFlowServing(binary, model, requests, folder, timeout)

        return one

    return make


def trial(tmp_path, champion=False):
    model = tmp_path / "model"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "work").mkdir()
    trained = {2: [0.8, 0.2], 3: [0.9, 0.1]}
    asked = Trial(TASKS["single_label"], model, model if champion else None, 2, trained, budgets([], 0.2))
    return asked, tmp_path / "work"


def test_it_is_asked_over_rest_and_measured(launch, tmp_path):
    findings = try_to_serve(*trial(tmp_path, champion=True), launch())
    assert findings.refusal == findings.champion_refusal == ""
    assert set(findings.metrics) == {name for name, metric in METRICS.items() if metric.of_serving}
    assert findings.metrics["parity_max_difference"] == pytest.approx(0, abs=1e-9)
    assert findings.metrics["peak_memory_mb"] > 1
    assert 0 < findings.metrics["load_seconds"] < 20
    assert all(result.passed for result in verdict([], findings))


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("exits", "it ended with exit code 1: could not find base path"),
        ("cannot load", "TensorFlow Serving could not load it: no variables"),
        ("dies", "it ended with exit code 9"),
        ("hangs", "it did not answer within 6 s"),
        ("refuses", "TensorFlow Serving answered 400: Op type not registered 'SentencepieceOp'"),
    ],
)
def test_what_goes_wrong_is_a_refusal_with_its_reason(launch, tmp_path, behaviour, reason):
    findings = try_to_serve(*trial(tmp_path), launch(behaviour, timeout=6.0 if behaviour == "hangs" else 20.0))
    assert findings.refusal == reason
    assert not any(result.passed for result in verdict([], findings))


def test_a_binary_that_is_not_there_is_named(tmp_path):
    (tmp_path / "requests").write_bytes(b"")
    server = TensorFlowServing(tmp_path / "absent", tmp_path, tmp_path / "requests", tmp_path, 1.0)
    with pytest.raises(NotServed, match=r"serving\.binary: .*absent cannot be started"):
        server.load()
    server.close()


def test_rest_answers_of_different_shapes_are_refused():
    from components.serving_gate.tensorflow_serving import _output

    assert _output(json.loads('[{"b64": "ZGlzYw=="}]')).values == ["disc"]
    with pytest.raises(NotServed, match="differ in shape"):
        _output([[0.5, 0.5], [1.0]])
