"""The pages name config keys, files and pages that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from finetune_cli.reference import config_reference

ROOT = Path(__file__).parents[2]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
KEYS = {re.sub(r"\[\]", "", key) for key in re.findall(r"^\| `([^`]+)`", config_reference(), re.MULTILINE)}
SECTIONS = {key.partition(".")[0] for key in KEYS if "." in key}
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")} - {"runs"}


def unknown_keys(page: str) -> list[str]:
    """Names in backticks that begin like a key of a section, and are neither a key nor the start of one."""
    found = re.findall(rf"`((?:{'|'.join(sorted(SECTIONS))})\.[\w.\[\]]+)", page)
    plain = [re.sub(r"\[\w*\]", "", key).rstrip(".") for key in found if not key.endswith(".json")]
    return [key for key in plain if not any(known == key or known.startswith(f"{key}.") for known in KEYS)]


def absent_files(page: str) -> list[str]:
    """Paths in backticks below a folder of the repository at which nothing is, but for those that a listing makes."""
    page = re.sub(r"^`[\w/.]+`:\n\n```", "", page, flags=re.MULTILINE)
    found = re.findall(rf"`((?:{'|'.join(sorted(FOLDERS))})/[\w/.-]*)`", page)
    return [path for path in found if not (ROOT / path).exists()]


def dead_links(page: str, folder: Path) -> list[str]:
    """Targets of relative links at which nothing is."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page)
    return [target for target in targets if not (folder / target).exists()]


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_names_exists(name):
    page = (ROOT / name).read_text(encoding="utf-8")
    assert unknown_keys(page) == []
    assert absent_files(page) == []
    assert dead_links(page, (ROOT / name).parent) == []


def test_what_does_not_exist_is_found():
    assert unknown_keys("`training.batch_sice: 8` and `training.phases[1].unfreeze`, `push.json`") == [
        "training.batch_sice"
    ]
    assert absent_files("`pipeline/dag.py`, `pipeline/absent.py`, `runs/digits/log.txt`") == ["pipeline/absent.py"]
    assert dead_links("[a](gates.md#top), [b](absent.md), [c](https://example.org)", ROOT / "docs") == ["absent.md"]
