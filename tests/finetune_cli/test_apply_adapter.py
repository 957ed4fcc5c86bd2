"""`finetune apply-adapter`: a merged backbone that configs can name, and refusals that write nothing."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

keras = pytest.importorskip("tf_keras")

from finetune.artifacts.training_history import BackboneOrigin  # noqa: E402
from finetune.config import BackboneConfig, PeftConfig  # noqa: E402
from finetune_cli.main import app  # noqa: E402
from trainer_module.backbones.model import build_backbone  # noqa: E402
from trainer_module.peft.adapters import attach, weights_of  # noqa: E402
from trainer_module.peft.adapting import Adapting  # noqa: E402
from trainer_module.phases.freezing import variable_name  # noqa: E402

CONFIG = {"name": "x", "data": {"root": "nowhere"}, "backbone": {"name": "SmallCNN", "weights": "random"}}


def run(*words):
    return CliRunner().invoke(app, ["apply-adapter", *map(str, words)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a file of weights, the config, the adapter; and what the adapted backbone has."""
    folder = tmp_path_factory.mktemp("trained")
    keras.backend.clear_session()
    network = build_backbone(BackboneConfig(name="SmallCNN", weights="random"))
    network.save_weights(folder / "base.h5")
    peft = PeftConfig(rank=2, targets=["conv"])
    attach(network, peft, seed=1)
    adapting = Adapting(network, peft, BackboneOrigin(name="SmallCNN", sha256="f" * 64))
    for variable in network.variables:
        if variable_name(variable).endswith("_lora_b"):
            variable.assign(np.ones(variable.shape))
    adapting.leave(folder)
    backbone = {"name": "SmallCNN", "weights": str(folder / "base.h5")}
    (folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, "backbone": backbone}))
    return folder, weights_of(network)


def test_the_merged_backbone_is_one_that_a_config_can_name(trained, tmp_path):
    folder, adapted = trained
    found = run(folder, folder / "config.yaml", "--output", tmp_path / "adapted.h5")
    assert found.exit_code == 0, found.output
    assert "6 variables changed; use it as backbone.weights" in found.output
    keras.backend.clear_session()
    again = build_backbone(BackboneConfig(name="SmallCNN", weights=str(tmp_path / "adapted.h5")))
    for name, value in weights_of(again).items():
        np.testing.assert_array_equal(value, adapted[name], err_msg=name)


def test_another_backbone_is_refused_and_nothing_is_written(trained, tmp_path):
    folder, _ = trained
    found = run(folder, folder / "config.yaml", "backbone.weights=random", "--output", tmp_path / "adapted.h5")
    assert found.exit_code != 0
    assert "backbone: got SmallCNN with random weights; the adapter was trained on SmallCNN with" in found.output
    assert "f" * 64 in found.output
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_read_or_written_is_said_before_anything_is_built(trained, tmp_path):
    folder, _ = trained
    broken = tmp_path / "adapter.safetensors"
    broken.write_bytes(b"no adapter")
    (tmp_path / "there.h5").write_bytes(b"mine")
    config = folder / "config.yaml"
    for words, said in (
        ([tmp_path / "absent", config, "--output", "a.h5"], "missing; expected the adapter.safetensors of a run"),
        ([broken, config, "--output", "a.h5"], "cannot be read as an adapter"),
        ([folder, config], "--output: missing; expected a new name that ends with .h5, such as adapted.h5"),
        (
            [folder, config, "--output", tmp_path / "a.keras"],
            "which is not what backbone.weights takes; expected a new name that ends with .h5",
        ),
        ([folder, config, "--output", tmp_path / "there.h5"], "which is there already"),
        ([folder, config, "backbone.name=auto", "--output", "a.h5"], "backbone"),
    ):
        found = run(*words)
        assert found.exit_code != 0, words
        assert said in found.output, (said, found.output)
    assert (tmp_path / "there.h5").read_bytes() == b"mine"
