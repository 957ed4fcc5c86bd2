"""The serving process: a script that knows TensorFlow and one SavedModel, and nothing of this project.

Started as `python -I served_alone.py PACKAGE...` in a folder of its own. The packages named cannot be imported here, so
that a model that secretly needs the code that trained it fails now and not in production.

It reads one JSON object a line from standard input, and answers each with one: what was asked for, or `error`.

    {"do": "import"}                               -> nothing; TensorFlow is loaded
    {"do": "load", "model": DIR, "requests": FILE} -> seconds; FILE holds one base64 request a line
    {"do": "predict", "requests": [0, 1]}          -> seconds, outputs {name: {dtype, shape, values}}
    {"do": "time", "requests": [0, 1]}             -> seconds
    {"do": "memory"}                               -> peak_kb, of this process so far
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class Hidden:
    """An import finder that finds nothing of some packages, wherever they are installed."""

    def __init__(self, packages: Iterable[str]):
        self._packages = frozenset(packages)

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Refuses what is hidden and leaves the rest to the next finder."""
        if name.partition(".")[0] in self._packages:
            raise ModuleNotFoundError(f"{name} does not exist where the model is served", name=name)


class ServedModel:
    """Answers the commands."""

    def __init__(self) -> None:
        self._serve: Any = None
        self._requests: list[bytes] = []

    def do_import(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Loads TensorFlow."""
        import tensorflow as tf

        self._tf = tf
        return {}

    def do_load(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Loads the model, which alone is timed, and the requests."""
        start = time.perf_counter()
        # The loaded object must live as long as its signature.
        self._model = self._tf.saved_model.load(command["model"])
        self._serve = self._model.signatures["serving_default"]
        seconds = time.perf_counter() - start
        with open(command["requests"], "rb") as lines:
            self._requests = [base64.b64decode(line) for line in lines]
        return {"seconds": seconds}

    def do_predict(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Answers a batch, with the outputs."""
        seconds, outputs = self._call(command["requests"])
        return {"seconds": seconds, "outputs": {name: _as_json(value) for name, value in outputs.items()}}

    def do_time(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Answers a batch, and says only how long it took."""
        return {"seconds": self._call(command["requests"])[0]}

    def do_memory(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """The peak of resident memory. getrusage would count the parent's, from before this program was started."""
        with open("/proc/self/status", encoding="ascii") as status:
            peak = next(line for line in status if line.startswith("VmHWM:"))
        return {"peak_kb": int(peak.split()[1])}

    def _call(self, requests: Sequence[int]) -> tuple[float, dict[str, Any]]:
        batch = [self._requests[index] for index in requests]
        start = time.perf_counter()
        outputs = self._serve(examples=self._tf.constant(batch))
        # A result counts when it can be read.
        outputs = {name: value.numpy() for name, value in outputs.items()}
        return time.perf_counter() - start, outputs


def _as_json(array: Any) -> dict[str, Any]:
    dtype = "string" if array.dtype.kind in "OSU" else array.dtype.name
    return {"dtype": dtype, "shape": list(array.shape), "values": _text(array.tolist())}


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def main() -> None:
    """Answers until standard input ends."""
    # Whatever libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.meta_path.insert(0, Hidden(sys.argv[1:]))
    model = ServedModel()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(model, f"do_{command['do']}")(command)
        except Exception as error:
            first = next((text for text in str(error).splitlines() if text.strip()), "")
            answer = {"error": f"{type(error).__name__}: {first}"[:2000]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
