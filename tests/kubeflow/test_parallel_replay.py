"""The digits package, replayed again and again while other work goes on: its trainers run side by side, on one store.

Each replay takes minutes; FINETUNE_REPLAYS says how many there are.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from artifact_files import artifact_files, same_content
from command_line import REPLAYS, ROOT, finetune

from finetune_kubeflow.replay.run import TaskResult, replay

pytestmark = pytest.mark.long

# They hold times, or the folder of the run.
OWN = {
    "Evaluator/evaluation/eval_config.json",
    "GateKeeper/verdict/verdict.json",
    "ScratchTrainer/model_run/history.json",
    "ServingGate/findings/serving.json",
    "Trainer/model_run/history.json",
    "Transform/transform_graph/transform_fn/fingerprint.pb",
    "Transform/transform_graph/transform_fn/saved_model.pb",
}


def busy() -> None:
    while True:
        pass


@contextmanager
def load() -> Iterator[None]:
    """As much other work as there are processors."""
    workers = [
        multiprocessing.get_context("spawn").Process(target=busy, daemon=True) for _ in range(os.cpu_count() or 1)
    ]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def test_the_digits_package_side_by_side_leaves_what_a_local_run_leaves(tmp_path: Path):
    local, package = tmp_path / "local", tmp_path / "package.yaml"
    local.mkdir()
    ran = finetune("demo", cwd=local)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    expected = artifact_files(local / "runs" / "digits" / "artifacts")
    assert finetune("compile", ROOT / "configs" / "digits.yaml", "-o", package, cwd=tmp_path).returncode == 0
    for number in range(REPLAYS):
        place = tmp_path / f"replay-{number}"
        for name in ("images", "backbone.h5"):
            source = local / "runs" / "digits" / name
            (place / "volume" / "runs" / "digits").mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if source.is_dir() else shutil.copy2
            copy(source, place / "volume" / "runs" / "digits" / name)
        with load():
            results = replay(package, place / "w", volumes={"finetune": place / "volume"})
        assert {(result.state, len(result.attempts)) for result in results} == {("ran", 1)}, told(results)
        found = artifact_files(place / "volume" / "runs" / "digits" / "artifacts")
        assert found.keys() == expected.keys()
        different = [name for name in expected if not same_content(expected[name], found[name])]
        assert not set(different) - OWN
        pushed = [
            folder / "runs" / "digits" / "pushed" / "1" / "saved_model.pb" for folder in (local, place / "volume")
        ]
        assert pushed[0].read_bytes() == pushed[1].read_bytes()
        shutil.rmtree(place)


def told(results: list[TaskResult]) -> str:
    return "\n".join(f"{one.name} {one.state} {one.attempts}\n{one.log.read_text()[-2000:]}" for one in results)
