"""Imports point one way: the contracts in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
from importlinter.api import read_configuration

ROOT = Path(__file__).parents[2]


def test_import_contracts_hold():
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_circle_of_files():
    """Files that import each other in a circle, also inside functions, cannot be read one after the other."""
    (layers,) = (
        one for one in read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"] if "layers" in one
    )
    graph = grimp.build_graph(*layers["layers"], cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()  # CycleError names the files
