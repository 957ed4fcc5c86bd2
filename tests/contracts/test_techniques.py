"""The table of techniques names config keys and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from finetune_cli.reference import config_reference

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests" / "trainer_module"
LINES = (ROOT / "docs" / "techniques.md").read_text(encoding="utf-8").splitlines()
ROWS = [re.split(r"\s*\|\s*", line.strip()[1:-1].strip()) for line in LINES if line.startswith("| ")][1:]
KEYS = {key.split(".")[-1] for key in re.findall(r"^\| `([^`]+)`", config_reference(), re.MULTILINE)}


def proofs(cell: str) -> list[tuple[Path, str]]:
    """Each test that a cell names; one without a file is in the file of the one before it."""
    named, path = [], None
    for file, test in re.findall(r"`(?:([\w./]+\.py)::)?(test_\w+)`", cell):
        path = TESTS / file if file else path
        assert path is not None, f"no file before {test}"
        named.append((path, test))
    return named


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:50] for row in ROWS])
def test_a_technique_is_proved_by_tests_that_exist(row):
    technique, _, proof = row
    named = proofs(proof)
    assert named or proof.startswith(("not yet", "the same")), technique
    for path, test in named:
        assert f"def {test}(" in path.read_text(encoding="utf-8"), f"{path.name} has no {test}"


def test_the_config_keys_of_the_table_exist():
    for row in ROWS:
        for key in re.findall(r"`((?:training|augmentation|distribution)\.[\w.\[\]]+)", " ".join(row)):
            assert key.split(".")[-1].removesuffix("[]") in KEYS, key
