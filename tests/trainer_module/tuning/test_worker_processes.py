"""The processes of this machine that help a search, with a search that says what it was given."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from finetune.events import Note, subscribe
from trainer_module.tuning.workers import helpers

# Python runs it before all else: in place of TFX and of a search.
STAND_INS = """
import os, pathlib, sys, time, types

def tuner_fn(given):
    settings = given.custom_config
    file = pathlib.Path(settings["folder"], os.environ["FINETUNE_TUNER_WORKER"])
    file.with_suffix(".new").write_text(f"{os.getpid()} {given.train_files}")
    file.with_suffix(".new").rename(file)
    if settings["then"] == "stay":
        time.sleep(600)
    if settings["then"] == "fail":
        raise ValueError("it has had enough")

def module(name, **content):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(content)

if "FINETUNE_TUNER_WORKER" in os.environ:
    for name in ("tfx", "tfx.components", "tfx.components.trainer"):
        module(name)
    module("tfx.components.trainer.fn_args_utils", FnArgs=types.SimpleNamespace)
    module("trainer_module.tuning.recipe", tuner_fn=tuner_fn)
"""


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes what TFX gives a search whose helpers end, stay or fail."""
    (tmp_path / "sitecustomize.py").write_text(STAND_INS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))

    def arguments(then: str) -> SimpleNamespace:
        settings = {"folder": str(tmp_path), "then": then, "component": "Tuner"}
        return SimpleNamespace(train_files=["a"], eval_files=["b"], transform_graph_path="c", custom_config=settings)

    return arguments


def said(folder: Path, number: int) -> str:
    """What a helper was given, once it is there."""
    until = time.monotonic() + 60
    while not (folder / str(number)).is_file():
        assert time.monotonic() < until, "the helper never began"
        time.sleep(0.05)
    return (folder / str(number)).read_text()


def test_each_helper_has_a_number_and_the_arguments(given, tmp_path: Path):
    told = []
    with subscribe(told.append), helpers(given("end"), 2, tmp_path / "search"):
        assert said(tmp_path, 1).split(maxsplit=1)[1] == "['a']"
        assert said(tmp_path, 2).split(maxsplit=1)[1] == "['a']"
    assert [each.text for each in told if isinstance(each, Note)] == ["Tuner: 3 processes train trials side by side"]


def test_those_that_still_train_are_told_to_end(given, tmp_path: Path):
    told = []
    with subscribe(told.append), helpers(given("stay"), 1, tmp_path / "search"):
        process = int(said(tmp_path, 1).split()[0])
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert len(told) == 1, "that is no failure"


def test_one_that_fails_is_told_with_its_reason(given, tmp_path: Path):
    told = []
    with subscribe(told.append), helpers(given("fail"), 1, tmp_path / "search"):
        said(tmp_path, 1)
        time.sleep(2)
    assert told[-1].level == "warning"
    assert "worker 1 of the search failed" in told[-1].text
    assert told[-1].text.endswith("ValueError: it has had enough")


def test_helpers_end_with_a_chief_that_is_killed(given, tmp_path: Path):
    code = f"""
    import os, time, types
    from pathlib import Path
    from trainer_module.tuning.workers import helpers
    given = types.SimpleNamespace(**{vars(given("stay"))!r})
    with helpers(given, 1, Path({str(tmp_path / "search")!r})):
        while not Path({str(tmp_path / "1")!r}).is_file():
            time.sleep(0.05)
        os.kill(os.getpid(), 9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], timeout=60, check=False)
    process, until = int(said(tmp_path, 1).split()[0]), time.monotonic() + 30
    while Path(f"/proc/{process}").is_dir() and "Z" not in Path(f"/proc/{process}/stat").read_text().split()[2]:
        assert time.monotonic() < until, "it outlives its chief"
        time.sleep(0.1)


def test_nobody_helps_where_one_trains(tmp_path: Path):
    with helpers(SimpleNamespace(), 0, tmp_path / "search"):
        assert not (tmp_path / "search").exists()
