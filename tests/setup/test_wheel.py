"""The wheel: what it puts into an environment, alone and beside Kubeflow's own SDK, which is imported as `kubeflow`."""

import pathlib
import shutil
import subprocess
import sys
import venv
import zipfile

import pytest
from checkout import project_files

ROOT = pathlib.Path(__file__).resolve().parents[2]
OURS = "import finetune, finetune_kubeflow.environment; print(finetune_kubeflow.__file__)"
THEIRS = "import kubeflow; print(kubeflow.__file__)"
FOLDERS = {
    *("finetune", "transforms", "registry", "evaluation", "trainer_module", "components", "pipeline"),
    *("finetune_kubeflow", "finetune_cli"),
}


def run(*command: object, cwd: pathlib.Path) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def checkout(folder: pathlib.Path) -> pathlib.Path:
    """A copy of the project, without what earlier builds left."""
    for name in project_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def wheel(copy: pathlib.Path) -> pathlib.Path:
    """Built with the setuptools of this environment, as a build back end is called."""
    run(sys.executable, "-c", "import setuptools.build_meta as b; b.build_wheel('dist')", cwd=copy)
    (made,) = (copy / "dist").glob("*.whl")
    return made


def record(wheel: pathlib.Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/RECORD")]
        return {line.split(",")[0] for line in archive.read(name).decode().splitlines()}


def test_the_wheel_puts_our_folders_into_an_environment_and_nothing_else(wheel: pathlib.Path):
    tops = {name.split("/")[0] for name in record(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == FOLDERS


def test_every_file_of_data_and_every_recipe_is_in_the_wheel(wheel: pathlib.Path):
    files = record(wheel)
    recipes = [f"finetune/recipes/{path.name}" for path in (ROOT / "configs").glob("*.yaml")]
    assert recipes
    assert set(recipes) <= files
    folders = [name if (ROOT / name).is_dir() else f"kubeflow/{name}" for name in FOLDERS]
    expected = {name.removeprefix("kubeflow/") for name in project_files(*folders) if (ROOT / name).is_file()}
    assert expected <= files


def test_the_demo_finds_its_recipe_outside_of_a_checkout(wheel: pathlib.Path, tmp_path: pathlib.Path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    code = (
        f"import sys; sys.path[0] = {str(tmp_path / 'installed')!r}\n"
        "from finetune_cli.demo import CONFIG; print(CONFIG, CONFIG.is_file())"
    )
    shown = run(sys.executable, "-c", code, cwd=tmp_path)
    assert shown == f"{tmp_path / 'installed' / 'finetune' / 'recipes' / 'digits.yaml'} True"


class Environment:
    """A virtual environment with pip."""

    def __init__(self, folder: pathlib.Path):
        venv.create(folder, with_pip=True, symlinks=True)
        self.python = folder / "bin" / "python"
        self._cwd = folder

    def pip(self, *arguments: object) -> str:
        return run(self.python, "-m", "pip", "--disable-pip-version-check", *arguments, cwd=self._cwd)

    def imports(self, code: str, cwd: pathlib.Path | None = None) -> pathlib.Path:
        """Where the package of `code` was imported from."""
        return pathlib.Path(run(self.python, "-c", code, cwd=cwd or self._cwd))

    def files(self, distribution: str) -> set[str]:
        shown = self.pip("show", "--files", distribution)
        return {line.strip() for line in shown.split("Files:\n")[1].splitlines()}


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The wheel of Kubeflow's SDK, from the package index."""
    folder = tmp_path_factory.mktemp("sdk")
    Environment(folder / "env")
    pip = [folder / "env" / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--retries", "1"]
    done = subprocess.run(
        [*pip, "download", "--no-deps", "--dest", folder, "kubeflow"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"the package index cannot be reached, or has no kubeflow: {done.stderr.strip().splitlines()[-1]}")
    (made,) = folder.glob("*.whl")
    return made


@pytest.mark.long
@pytest.mark.parametrize("ours_first", [True, False])
def test_both_live_in_one_environment(wheel: pathlib.Path, sdk: pathlib.Path, tmp_path: pathlib.Path, ours_first: bool):
    """Builds an environment, and changes it with pip."""
    assert record(wheel) & record(sdk) == set()
    environment = Environment(tmp_path / "env")
    for one in (wheel, sdk) if ours_first else (sdk, wheel):
        environment.pip("install", "--no-deps", one)
    site = environment.imports(OURS).parents[1]
    assert environment.imports(THEIRS) == site / "kubeflow" / "__init__.py"
    assert environment.files("finetune-pipeline") & environment.files("kubeflow") == set()
    assert environment.imports(THEIRS, cwd=ROOT) == site / "kubeflow" / "__init__.py"
    gone, left = ("kubeflow", OURS) if ours_first else ("finetune-pipeline", THEIRS)
    environment.pip("uninstall", "--yes", gone)
    assert environment.imports(left).is_relative_to(site)


@pytest.mark.long
def test_both_live_in_one_environment_with_ours_editable(copy: pathlib.Path, sdk: pathlib.Path, tmp_path: pathlib.Path):
    """Installs the build back end from the package index too."""
    environment = Environment(tmp_path / "env")
    environment.pip("install", "setuptools>=70,<81")
    environment.pip("install", "--no-deps", "--no-build-isolation", "--editable", copy)
    environment.pip("install", "--no-deps", sdk)
    for cwd in (tmp_path, copy):
        assert environment.imports(OURS, cwd) == copy / "kubeflow" / "finetune_kubeflow" / "__init__.py"
        assert environment.imports(THEIRS, cwd).is_relative_to(tmp_path / "env")
    environment.pip("uninstall", "--yes", "kubeflow")
    assert environment.imports(OURS).is_relative_to(copy)
    environment.pip("install", "--no-deps", sdk)
    environment.pip("uninstall", "--yes", "finetune-pipeline")
    assert environment.imports(THEIRS).is_relative_to(tmp_path / "env")
