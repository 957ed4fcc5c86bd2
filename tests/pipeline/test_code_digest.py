"""Cache keys that are true: every node's holds the code that it can run, all of it and nothing else."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from checkout import project_files

from finetune import run_time
from finetune.config import load_config
from finetune.run_time import CodeDigest
from pipeline import code_digest
from pipeline.code_digest import OUR_PACKAGES, Sources, installed
from pipeline.dag import compile_ir
from pipeline.nodes import alone, place_at, resolved

pytestmark = pytest.mark.by_test

ROOT = Path(__file__).parents[2]
RECIPES = ("digits", "sms_spam", "flowers")
SCHEMA = ("digits", "data.schema_file=schema.pbtxt")
WARM = ("digits", "training.start_from=champion")
TAUGHT = ("digits", "training.distillation.teacher=champion")
PROBED = ("digits", "evaluation.source_task=digits")
# Resolvers have no parameters; `pipeline.execution_cache` has their code in the key.
WITHOUT_PARAMETERS = {"ChampionResolver", "TeacherResolver", "TrainingDataResolver", "WarmStartResolver"}
# Run by TFX's own code alone.
TFX_ALONE = {"ImportSchemaGen"}


def entries() -> dict[str, tuple[str, ...]]:
    """The modules that each node of the DAG starts with, over all kinds of nodes."""
    found: dict[str, tuple[str, ...]] = {}
    for recipe, *overrides in [*((name,) for name in RECIPES), SCHEMA, WARM, TAUGHT, PROBED]:
        baselines = "evaluation.baselines=[majority, logistic_regression]"
        ir = compile_ir(load_config(ROOT / "configs" / f"{recipe}.yaml", [baselines, *overrides]))
        for node in ir.nodes:
            node_id = node.pipeline_node.node_info.id
            parameter = node.pipeline_node.parameters.parameters["code"].field_value.string_value
            if parameter:
                found[node_id] = CodeDigest.model_validate_json(parameter).modules
            else:
                found.setdefault(node_id, None)
    return found


@pytest.fixture(scope="module")
def nodes() -> dict[str, tuple[str, ...]]:
    return entries()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in OUR_PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def sources(folder: Path) -> Sources:
    return Sources({package: folder / package for package in OUR_PACKAGES})


def digests(folder: Path, nodes: dict[str, tuple[str, ...]]) -> dict[str, str]:
    found = sources(folder)
    return {node: found.digest(modules) for node, modules in nodes.items() if modules}


def test_every_node_has_a_digest(nodes: dict[str, tuple[str, ...]]):
    assert {node for node, modules in nodes.items() if modules is None} == WITHOUT_PARAMETERS
    assert {node for node, modules in nodes.items() if modules == ()} == TFX_ALONE
    assert set(nodes) >= {"ImageExampleGen", "TextExampleGen", "SchemaGen", "ExampleValidator", "Transform", "Trainer"}
    assert set(nodes) >= {"LinearTrainer", "Evaluator", "BulkInferrer", "ServingGate", "GateKeeper", "Pusher"}


def test_the_digest_is_in_the_key_of_each_node():
    """TFX hashes every parameter; with other code, that of each node differs."""
    ir = compile_ir(load_config(ROOT / "configs" / "digits.yaml"))
    for node in ir.nodes:
        node_id = node.pipeline_node.node_info.id
        keys = []
        for code in ("one", "other"):
            here = place_at(ROOT)
            there = type(here)(here.root, lambda modules, code=code: code, {})
            made = resolved(alone(ir, node_id), there, "run")
            assert run_time.KIND not in str(made), node_id
            keys.append(str(made.nodes[0].pipeline_node.parameters))
        assert (keys[0] == keys[1]) == (node_id in WITHOUT_PARAMETERS), node_id


def test_a_change_of_any_file_that_a_node_can_run_changes_its_key_and_no_other_does(
    nodes: dict[str, tuple[str, ...]], copy: Path
):
    entry_points = {node: modules for node, modules in nodes.items() if modules}
    known = sources(copy)
    before = {node: known.digest(modules) for node, modules in entry_points.items()}
    closures = {node: set(known.closure(modules)) for node, modules in entry_points.items()}
    for file in sorted(path for package in OUR_PACKAGES for path in (copy / package).rglob("*") if path.is_file()):
        name = file.relative_to(copy).as_posix()
        original = file.read_bytes()
        file.write_bytes(original + (b"\nCHANGED = 1\n" if file.suffix == ".py" else b"changed"))
        again = sources(copy)
        again.modules = known.modules  # listing and parsing all takes a second
        again._read = {path: read for path, read in known._read.items() if path != file}
        changed = {node for node, modules in entry_points.items() if again.digest(modules) != before[node]}
        file.write_bytes(original)
        assert changed == {node for node, files in closures.items() if name in files}, name


def test_comments_docstrings_and_formatting_change_no_key(nodes: dict[str, tuple[str, ...]], copy: Path):
    before = digests(copy, nodes)
    for file in (path for package in OUR_PACKAGES for path in (copy / package).rglob("*.py")):
        tree = ast.parse(file.read_text())
        for scope in ast.walk(tree):
            if isinstance(scope, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(scope):
                scope.body[0] = ast.Expr(ast.Constant("Another docstring."))
        future = "from __future__ import annotations\n"
        code = ast.unparse(ast.fix_missing_locations(tree)).replace(future, "")
        file.write_text(
            f'# Copyright: a licence.\n"""Another docstring."""\n{future if future in file.read_text() else ""}{code}\n'
        )
    assert digests(copy, nodes) == before


def test_a_licence_changes_no_key(tmp_path: Path):
    module = tmp_path / "finetune" / "__init__.py"
    module.parent.mkdir()

    def digest(text: str) -> str:
        module.write_text(text)
        return Sources({"finetune": module.parent}).digest(["finetune"])

    assert digest('__license__ = "MIT"\nR = record(1, licence="MIT")\n') == digest('R = record(1, licence="BSD")\n')
    assert digest("R = record(1)\n") != digest("R = record(2)\n")


def test_the_licences_of_backbones_are_where_they_change_no_key(nodes: dict[str, tuple[str, ...]], copy: Path):
    before = digests(copy, nodes)
    file = copy / "trainer_module" / "backbones" / "sources" / "keras_applications.py"
    assert '"MIT"' in file.read_text()
    file.write_text(file.read_text().replace('"MIT"', '"Apache-2.0"'))
    assert digests(copy, nodes) == before


def test_what_counts_as_running(tmp_path: Path):
    package = tmp_path / "finetune"
    (package / "inner" / "data").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "start.py": (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import finetune.for_types\n"
            "def f():\n    from finetune.inner import late\nRUN = 'finetune.named.run_fn'\n"
        ),
        "for_types.py": "",
        "unused.py": "",
        "named.py": "",
        "inner/__init__.py": "from finetune.inner import entry",
        "inner/entry.py": "",
        "inner/late.py": "SCRIPT = 'script.py'\nDATA = 'data'\n",
        "inner/script.py": "",
        "inner/data/table.json": "{}",
    }.items():
        (package / name).write_text(text)
    expected = ["__init__.py", "inner/__init__.py", "inner/data/table.json", "inner/entry.py", "inner/late.py"]
    expected += ["inner/script.py", "named.py", "start.py"]
    found = Sources({"finetune": package})
    assert sorted(found.closure(["finetune.start"])) == [f"finetune/{name}" for name in expected]
    with pytest.raises(KeyError, match=r"finetune\.absent: no module of finetune"):
        found.closure(["finetune.absent"])


def test_a_script_that_is_started_and_a_table_that_is_read_count():
    assert "components/serving_gate/served_alone.py" in installed().closure(["components.serving_gate.component"])
    assert "trainer_module/backbones/figures.json" in installed().closure(["trainer_module.backbones.figures"])
    graphs = [name for name in installed().closure(["trainer_module.frozen_features.recorded"]) if name.endswith(".gz")]
    assert len(graphs) == len(list((ROOT / "trainer_module" / "frozen_features" / "graphs").iterdir()))


def test_every_file_of_data_is_read_by_a_module_that_names_it():
    """But for those of the report, which no node makes, and the recipes."""
    named = {name for module in installed().modules for name in installed().closure([module])}
    for package in set(OUR_PACKAGES) - {"pipeline"}:
        files = [name for name in project_files(package) if (ROOT / name).is_file()]
        data = {name for name in files if not name.endswith(".py")}
        assert data <= named, package


@pytest.mark.long
def test_what_python_imports_is_in_the_closure(nodes: dict[str, tuple[str, ...]]):
    """Imports the modules of node after node in one process, and asks Python each time what has run by then."""
    entry_points = sorted({modules for modules in nodes.values() if modules})
    code = "import importlib, sys\n" + "".join(
        f"for name in {modules}: importlib.import_module(name)\nprint(*sys.modules)\n" for modules in entry_points
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    may_run: set[Path] = set()
    for modules, imported in zip(entry_points, done.stdout.splitlines(), strict=True):
        may_run |= set(installed().closure(modules).values())
        ran = {installed().modules[name] for name in imported.split() if name in installed().modules}
        assert ran <= may_run, modules


def test_the_version_of_tfx_is_in_the_digest(monkeypatch: pytest.MonkeyPatch):
    assert version("tfx")
    before = code_digest.node_digest(())
    monkeypatch.setattr(code_digest, "version", lambda package: "0.0")
    assert code_digest.node_digest(()) != before
