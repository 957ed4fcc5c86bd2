"""Keys of an earlier version: an error that names the new one, in the file as on the command line."""

from __future__ import annotations

import pytest

from finetune.config import load_config
from finetune.config.prose import RENAMED
from finetune.errors import ConfigError

GOOD = "name: birds\ndata: {root: birds}\nbackbone: {name: MobileNetV2, weights: random}\n"


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setitem(RENAMED, "training.old_section", "training.new_section")
    monkeypatch.setitem(RENAMED, "training.phases[].rate", "training.phases[].learning_rate")
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    return path


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("training.old_section.size=1", "training.old_section: renamed; write training.new_section"),
        (
            "training.phases=[{name: a, epochs: 1, learning_rate: 1}, {name: b, epochs: 1, rate: 1}]",
            "training.phases[1].rate: renamed; write training.phases[1].learning_rate",
        ),
    ],
)
def test_an_old_key_is_an_error_that_names_the_new_one(config, override, problem):
    with pytest.raises(ConfigError) as on_the_command_line:
        load_config(config, [override])
    assert problem in on_the_command_line.value.problems
    assert not any("unknown key" in other for other in on_the_command_line.value.problems)
    key, _, value = override.partition("=")
    section, _, name = key.partition(".")
    nested = f"{{{name.replace('.', ': {')}: {value}{'}' * (name.count('.') + 1)}"
    config.write_text(f"{GOOD}{section}: {nested}\n")
    with pytest.raises(ConfigError) as in_the_file:
        load_config(config)
    assert problem in in_the_file.value.problems


def test_other_unknown_keys_are_told_as_before(config):
    with pytest.raises(ConfigError, match=r"training\.sed: unknown key; expected one of .*Did you mean 'seed'\?"):
        load_config(config, ["training.sed=1"])


def test_no_old_name_is_a_key_again():
    from finetune_cli.reference import config_reference

    reference = config_reference()
    for old, new in RENAMED.items():
        assert f"`{old}`" not in reference
        assert f"`{new}`" in reference


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("micro_batches=2", "gradient_accumulation_steps"),
        ("cache_trunk=off", "frozen_features.cache"),
        ("trunk_cache.disk_gb=5", "frozen_features"),
    ],
)
def test_keys_of_training_that_were_renamed(config, old, new):
    with pytest.raises(ConfigError) as caught:
        load_config(config, [f"training.{old}"])
    assert any(problem.endswith(f"renamed; write training.{new}") for problem in caught.value.problems)


@pytest.mark.parametrize("value", ["off", "{cache: off}"])
def test_frozen_features_have_a_short_form(config, value):
    kept = load_config(config, [f"training.frozen_features={value}"]).training.frozen_features
    assert (kept.cache, kept.dtype) == ("off", "float32")
    with pytest.raises(ConfigError, match=r"training\.frozen_features\.cache: .*'auto', 'on' or 'off'"):
        load_config(config, ["training.frozen_features=of"])
