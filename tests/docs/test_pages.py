"""The pages name config keys, commands, files and pages that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from finetune_cli.main import app
from finetune_cli.reference import config_reference

ROOT = Path(__file__).parents[2]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
KEYS = {re.sub(r"\[\]", "", key) for key in re.findall(r"^\| `([^`]+)`", config_reference(), re.MULTILINE)}
# Keys below these have names of their own.
MAPPINGS = set(re.findall(r"^\| `([^`]+)` \| mapping", config_reference(), re.MULTILINE))
COMMANDS = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
COMMANDS |= {group.name for group in app.registered_groups}
SECTIONS = {key.partition(".")[0] for key in KEYS if "." in key}
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")} - {"runs"}


def unknown_keys(page: str) -> list[str]:
    """Names in backticks that begin like a key of a section, and are neither a key nor the start of one."""
    found = re.findall(rf"`((?:{'|'.join(sorted(SECTIONS))})\.[\w.\[\]]+)", page)
    plain = [re.sub(r"\[\w*\]", "", key).rstrip(".") for key in found if not key.endswith(".json")]
    known = [key for key in plain if any(one == key or one.startswith(f"{key}.") for one in KEYS)]
    known += [key for key in plain if any(key.startswith(f"{mapping}.") for mapping in MAPPINGS)]
    return [key for key in plain if key not in known and not is_module("/".join(key.split(".")[:2]))]


def is_module(path: str) -> bool:
    """Whether a module or a package is there: `evaluation` is a section of the config and a folder of ours."""
    return (ROOT / f"{path}.py").exists() or (ROOT / path / "__init__.py").exists()


def unknown_commands(page: str) -> list[str]:
    """Words after `finetune`, at the beginning of a line or of words in backticks, that are no commands."""
    found = re.findall(r"(?:`|bin/|^)finetune ([a-z][a-z-]*)", page, re.MULTILINE)
    return [command for command in found if command not in COMMANDS]


def absent_files(page: str) -> list[str]:
    """Paths in backticks below a folder of the repository at which nothing is, but for those that a listing makes."""
    page = re.sub(r"`[\w/.]+`:\n\n```", "", page)
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
    assert unknown_commands(page) == []
    assert absent_files(page) == []
    assert dead_links(page, (ROOT / name).parent) == []


def test_what_does_not_exist_is_found():
    assert unknown_keys("`training.batch_sice: 8` and `training.phases[1].unfreeze`, `push.json`") == [
        "training.batch_sice"
    ]
    assert unknown_commands("`finetune run CONFIG`, .venv/bin/finetune runn CONFIG") == ["runn"]
    assert absent_files("`pipeline/dag.py`, `pipeline/absent.py`, `runs/digits/log.txt`") == ["pipeline/absent.py"]
    assert dead_links("[a](gates.md#top), [b](absent.md), [c](https://example.org)", ROOT / "docs") == ["absent.md"]
