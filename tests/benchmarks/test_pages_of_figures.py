"""Every page of figures is what its benchmark makes of the figures beside it."""

from __future__ import annotations

import importlib
import json
import pkgutil

import pytest

import benchmarks
from benchmarks.tables import RESULTS

pytest.importorskip("tfx")
pytestmark = pytest.mark.by_test

MODULES = [importlib.import_module(f"benchmarks.{module.name}") for module in pkgutil.iter_modules(benchmarks.__path__)]
PAGES = {module.__name__.removeprefix("benchmarks."): module.page for module in MODULES if hasattr(module, "page")}


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_made_of_the_figures(name):
    figures = json.loads((RESULTS / f"{name}.json").read_text())
    assert (RESULTS / f"{name}.md").read_text() == PAGES[name](figures) + "\n"
