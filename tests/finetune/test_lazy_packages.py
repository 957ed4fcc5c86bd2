"""A package that gathers everything runs when something in itself is asked for, and not for a module in it."""

from __future__ import annotations

import sys
import textwrap

import pytest

from finetune import lazy_packages


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The name of a package that says when it runs, in `ran` of its module `log`."""
    folder = tmp_path / "gathering"
    folder.mkdir()
    texts = {
        "log.py": "ran = []",
        "light.py": "COLOUR = 'blue'",
        "heavy.py": "from gathering.log import ran\nran.append('heavy')\nCOLOUR = 'red'\nWEIGHT = 7",
        "__init__.py": "from gathering.heavy import *\nran.append('package')\n__version__ = '1'",
    }
    for name, text in texts.items():
        (folder / name).write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(lazy_packages.LAZY, "gathering", None)
    lazy_packages.make_lazy()
    yield "gathering"
    for name in [name for name in sys.modules if name.split(".")[0] == "gathering"]:
        del sys.modules[name]


def test_a_module_is_imported_alone(package):
    from gathering import light  # type: ignore[import-not-found]
    from gathering.log import ran  # type: ignore[import-not-found]

    assert light.COLOUR == "blue"
    assert ran == []


def test_what_only_the_package_has_makes_it_run_once(package):
    import gathering  # type: ignore[import-not-found]

    assert gathering.WEIGHT == 7
    assert (gathering.COLOUR, gathering.__version__) == ("red", "1")
    assert gathering.ran == ["heavy", "package"]
    assert type(gathering) is type(sys)


def test_names_of_the_light_module_do_not_make_it_run(package, monkeypatch):
    monkeypatch.setitem(lazy_packages.LAZY, "gathering", "light")
    from gathering import COLOUR  # type: ignore[import-not-found]
    from gathering.log import ran  # type: ignore[import-not-found]

    assert COLOUR == "blue"
    assert ran == []


def test_what_it_has_not_is_an_error_as_of_any_module(package):
    import gathering  # type: ignore[import-not-found]

    with pytest.raises(AttributeError, match="__wrapped__"):
        _ = gathering.__wrapped__
    assert not hasattr(gathering, "absent")
    with pytest.raises(ImportError, match="cannot import name 'absent'"):
        from gathering import absent  # noqa: F401  # type: ignore[import-not-found]


def test_a_package_that_fails_fails_again(package, tmp_path):
    (tmp_path / "gathering" / "__init__.py").write_text("raise ValueError('broken')")
    import gathering  # type: ignore[import-not-found]

    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            _ = gathering.WEIGHT
