"""Every benchmark can be started, and every page of figures is what its benchmark makes of the figures beside it."""

from __future__ import annotations

import importlib
import json
import pkgutil

import pytest

import benchmarks
from benchmarks.tables import RESULTS

pytest.importorskip("tfx")
pytestmark = pytest.mark.by_test

NAMES = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_imported_and_its_page_is_made_of_its_figures(name):
    page = getattr(importlib.import_module(f"benchmarks.{name}"), "page", None)
    if page:
        figures = json.loads((RESULTS / f"{name}.json").read_text())
        assert (RESULTS / f"{name}.md").read_text() == page(figures) + "\n"
