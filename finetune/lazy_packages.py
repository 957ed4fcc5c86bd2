"""Packages whose `__init__` imports all that is in them, of which a process needs a part.

`tfx.components` imports every component of TFX: with InfraValidator the client of Kubernetes, with Tuner a second Keras
and Matplotlib. `tensorflow_model_analysis` imports every metric: with those of translations a toolkit of linguistics.
Whoever imports a module in such a package gets that module alone; who asks the package itself for something has it run
first.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

# What a package that has not run gives of its own accord: the names in this module of it, which imports little.
LAZY = {"tfx.components": None, "tensorflow_model_analysis": "sdk"}

_lock = threading.RLock()


def make_lazy() -> None:
    """Makes those packages that are not imported yet run when something in them is asked for."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in LAZY:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        module.__class__ = _Package

    def run(self, module: ModuleType) -> None:
        """Runs the package as Python would have; one that fails can be asked again."""
        module.__class__ = ModuleType
        try:
            super().exec_module(module)
        except BaseException:
            module.__class__ = _Package
            raise
        # TFX 1.21 gives TFMA back what TFMA 0.52 lacks: its light module here, and the package in `tfx.components`.
        light = sys.modules.get(f"{module.__name__}.{LAZY[module.__name__]}")
        for name in set(vars(light) if light else ()) - set(vars(module)):
            setattr(module, name, getattr(light, name))


class _Package(ModuleType):
    """A package that has not run. It has what every module has, and its modules can be imported."""

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        assert spec is not None
        module = f"{self.__name__}.{name}"
        if PathFinder.find_spec(module, spec.submodule_search_locations):
            __import__(module)
            return sys.modules[module]
        # Libraries that look at all modules ask for such names.
        if name.startswith("__") and name not in ("__all__", "__version__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        light = LAZY[self.__name__]
        if light and hasattr(getattr(self, light), name):
            return getattr(getattr(self, light), name)
        with _lock:
            if type(self) is _Package:
                assert isinstance(spec.loader, _Loader)
                spec.loader.run(self)
        return getattr(self, name)
