"""Every benchmark can be started: what it imports from others is there."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import benchmarks

pytest.importorskip("tfx")
pytestmark = pytest.mark.by_test


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(benchmarks.__path__)])
def test_it_can_be_imported(name):
    importlib.import_module(f"benchmarks.{name}")
