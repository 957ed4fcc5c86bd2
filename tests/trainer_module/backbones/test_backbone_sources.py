"""Every source of backbones keeps its promises, and what the Trainer would refuse is refused before it."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import types
import warnings
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from finetune.config import BackboneConfig, Config, load_config
from finetune.errors import BackboneError, ConfigError
from pipeline.checks import backbone_fits, files_exist
from pipeline.plan import print_plan
from trainer_module.backbones.contract import check_backbone_source
from trainer_module.backbones.sources import SOURCES, record_of, source_of

keras = pytest.importorskip("tf_keras")

from hugging_face_folder import save_encoder  # noqa: E402
from saved_models import save_for_hub, vector_network  # noqa: E402
from sound_models import tone_network  # noqa: E402
from text_saved_models import save_bert, save_string_encoder  # noqa: E402

from trainer_module.backbones.sources.small_cnn import small_cnn  # noqa: E402

pytestmark = pytest.mark.by_test_current

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "add-a-backbone.md"


def save(network, path: Path) -> str:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are saving your model as an HDF5 file")
        network.save(path)
    return str(path)


def words(folder: Path) -> str:
    path = folder / "words.json"
    path.write_text(json.dumps({"boat": [1.0, 0.5], "bird": [0.0, -1.0]}))
    return str(path)


def weights(folder: Path) -> str:
    small_cnn(8).save_weights(folder / "weights.h5")
    return str(folder / "weights.h5")


def bert(folder: Path) -> dict:
    encoder, preprocessor = save_bert(folder)
    return {"handle": str(encoder), "modality": "text", "text": {"preprocessor": str(preprocessor)}}


FILE = {"image_size": 12, "scaling": "zero_to_one"}
PATCHES = {"sample_rate": 8000, "bands": 16, "high_hz": 3800, "patch_frames": 20, "patch_hop": 10, "max_patches": 3}
SOUNDS = {"modality": "audio", "audio": PATCHES}
EXAMPLES = {
    "random network": ("SmallCNN", lambda _: {"name": "SmallCNN", "weights": "random", "image_size": 8}),
    "file of weights": ("SmallCNN", lambda f: {"name": "SmallCNN", "weights": weights(f), "image_size": 8}),
    "application": (
        "Keras applications",
        lambda _: {"name": "MobileNetV2", "weights": "random", "image_size": 32, "arguments": {"alpha": 0.35}},
    ),
    "table": ("word vectors", lambda f: {"name": "GloVe", "weights": words(f), "text": {"max_words": 4}}),
    "encoder": (
        "Hugging Face encoders",
        lambda f: {"name": "BERT", "weights": save_encoder(f / "bert"), "text": {"max_pieces": 8}},
    ),
    "keras": ("Keras file", lambda f: {"file": save(vector_network(12), f / "model.keras"), **FILE}),
    "h5": ("Keras file", lambda f: {"file": save(vector_network(12), f / "model.h5"), **FILE}),
    "sounds": ("Keras file, sounds", lambda f: {"file": save(tone_network(), f / "sounds.h5"), **SOUNDS}),
    "sounds of one patch": (
        "Keras file, sounds",
        lambda f: {"file": save(tone_network(), f / "sounds.keras"), **SOUNDS, "audio": {**PATCHES, "max_patches": 1}},
    ),
    "pictures": (
        "TF Hub, pictures",
        lambda f: {"handle": str(save_for_hub(vector_network(12), f / "hub")), "image_size": 12},
    ),
    "strings": ("TF Hub, texts", lambda f: {"handle": str(save_string_encoder(f / "encoder")), "modality": "text"}),
    "bert": ("TF Hub, texts", bert),
    "three blocks of an application": (
        "Keras applications",
        lambda f: {"name": "MobileNetV2", "weights": "random", "image_size": 96, "pooled_blocks": 3},
    ),
    "two blocks of a file": (
        "Keras file",
        lambda f: {"file": save(vector_network(12), f / "blocks.keras"), **FILE, "pooled_blocks": 2},
    ),
    "picture and words": (
        "two networks",
        lambda f: {
            "sides": {
                "image": {"name": "SmallCNN", "weights": "random", "image_size": 8},
                "text": {"name": "GloVe", "weights": words(f), "text": {"max_words": 4}},
            }
        },
    ),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_source_keeps_its_promises(example, tmp_path):
    name, section = EXAMPLES[example]
    keras.backend.clear_session()
    config = BackboneConfig.model_validate(section(tmp_path))
    assert source_of(config).name == name
    check_backbone_source(config)


def test_every_source_is_held_to_them():
    assert {name for name, _ in EXAMPLES.values()} == set(SOURCES)


def test_a_source_that_describes_other_layers_than_it_builds_is_found(monkeypatch):
    config = BackboneConfig(name="SmallCNN", weights="random", image_size=8)
    monkeypatch.setattr(type(source_of(config)), "layers", lambda self, config: [])
    with pytest.raises(AssertionError, match="SmallCNN describes other layers than it builds"):
        check_backbone_source(config)


def problems(backbone: dict, **sections) -> list[str]:
    raw = {"name": "x", "data": {"root": "."}, "backbone": backbone, **sections}
    return [*backbone_fits(raw), *files_exist(raw)]


PROBE = {"training": {"strategy": "linear_probe"}}


@pytest.mark.parametrize(
    ("section", "unfreeze", "message"),
    [
        ("table", {"last_layers": 10}, r"phases\[0\]\.unfreeze\.last_layers: got 10; the backbone has 3 layers"),
        ("table", {"from_layer": "word_vector"}, r"from_layer: got 'word_vector'.*Did you mean 'word_vectors'"),
        ("keras", {"last_layers": 99}, r"last_layers: got 99; the backbone has 6 layers"),
        ("h5", {"from_layer": "block_3"}, r"from_layer: got 'block_3'.*Did you mean 'block_2'"),
        ("application", {"from_layer": "block_99"}, r"from_layer: got 'block_99'.*Did you mean 'block_16'"),
        ("encoder", {"from_layer": "block9_output"}, r"from_layer: got 'block9_output'.*Did you mean 'block"),
        ("encoder", {"last_blocks": 4}, r"last_blocks: got 4; the backbone has 3 blocks: stem, block1, block2"),
        ("pictures", {"last_blocks": 1}, r"unfreeze: got 'the last block'; the layers of .* cannot be told apart"),
        ("strings", {"fraction": 0.5}, r"unfreeze: got 'the last 50 % of the layers'; .* `all`, `{variables"),
    ],
)
def test_a_phase_that_the_layers_do_not_allow_is_refused_before_training(section, unfreeze, message, tmp_path):
    phase = {"name": "tune", "epochs": 1, "learning_rate": 0.1, "unfreeze": unfreeze}
    (problem,) = problems(EXAMPLES[section][1](tmp_path), training={"phases": [phase]})
    assert re.search(message, problem), problem
    assert "or training.strategy linear_probe" in problem
    for good in ("none", "all"):
        assert problems(EXAMPLES[section][1](tmp_path), training={"phases": [{**phase, "unfreeze": good}]}) == []


@pytest.mark.parametrize(
    ("section", "peft", "message"),
    [
        ("table", "lora", r"training\.peft\.method: got 'lora'; .* has no kernels"),
        ("bert", "lora", r"training\.peft\.targets: got None; the graph of a SavedModel .* expected a regular"),
        ("table", "norm", r"phases\[0\]\.unfreeze: got 'all layers', in which training\.peft has nothing to train"),
    ],
)
def test_what_has_nothing_that_peft_could_train_is_refused_before_training(section, peft, message, tmp_path):
    phase = {"name": "tune", "epochs": 1, "learning_rate": 0.1, "unfreeze": "all"}
    training = {"phases": [phase], "peft": peft}
    (problem,) = problems(EXAMPLES[section][1](tmp_path), training=training)
    assert re.search(message, problem), problem
    assert problems(EXAMPLES["application"][1](tmp_path), training=training) == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_config_with_its_defaults_filled_in_is_as_good(tmp_path, name):
    config = BackboneConfig.model_validate(EXAMPLES[name][1](tmp_path))
    filled = BackboneConfig.model_validate(json.loads(config.model_dump_json()))
    assert source_of(filled).problems(filled) == source_of(config).problems(config) == []


def test_strategies_are_held_against_the_layers_too(tmp_path):
    (problem,) = problems(EXAMPLES["table"][1](tmp_path), training={"strategy": "two_phase"})
    assert problem.startswith("training.phases[1].unfreeze.last_layers: got 10; the backbone has 3 layers")
    assert problems(EXAMPLES["strings"][1](tmp_path), training={"strategy": "auto"}) == [], "it tries what is allowed"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"handle": "model"}, "backbone.image_size: missing; a `handle` needs it"),
        ({"file": "model.keras", "scaling": "none"}, "backbone.image_size: missing; a `file` needs it"),
        ({"file": "model.keras", "image_size": 12}, "backbone.scaling: missing; a `file` needs it: one of none, zero"),
        ({"file": "model.keras", "modality": "text"}, "backbone.modality: got 'text'; no source takes a `file`"),
        ({"handle": "encoder", "modality": "sound"}, "backbone.modality: got 'sound'; no source takes"),
        ({"name": "SmallCNN", "weights": "imagenet"}, "backbone.weights: got 'imagenet'; SmallCNN has none"),
        ({"name": "VGG16", "weights": "random", "image_size": 16}, "backbone.image_size: got 16; VGG16 expects at"),
        (
            {"name": "MobileNetV2", "weights": "random", "arguments": {"alfa": 0.35}},
            "backbone.arguments.alfa: got 0.35; MobileNetV2 takes alpha. Did you mean 'alpha'?",
        ),
        (
            {"name": "SmallCNN", "weights": "random", "arguments": {"alpha": 1.0}},
            "backbone.arguments.alpha: got 1.0; SmallCNN takes none.",
        ),
        (
            {"name": "SmallCNN", "weights": "random", "pooled_blocks": 5},
            "backbone.pooled_blocks: got 5; the backbone has 4 blocks. Expected 1 to 4.",
        ),
        ({"name": "BERT", "weights": "absent", "pooled_blocks": 2}, "backbone.pooled_blocks: got 2; BERT is for text"),
        (
            {"handle": "https://tfhub.dev/a", "image_size": 32, "pooled_blocks": 2},
            "backbone.pooled_blocks: got 2; the layers of",
        ),
    ],
)
def test_what_a_source_does_not_have_is_refused_before_training(changes, message):
    (problem,) = backbone_fits({"backbone": changes, **PROBE})
    assert problem.startswith(message)


def test_the_baseline_from_scratch_needs_a_network_that_is_not_its_weights(tmp_path):
    scratch = {"evaluation": {"baselines": ["from_scratch"]}, **PROBE}
    (problem,) = problems(EXAMPLES["keras"][1](tmp_path), **scratch)
    assert problem.startswith("evaluation.baselines: `from_scratch`")
    assert problems(EXAMPLES["random network"][1](tmp_path), **scratch) == []


def test_a_keras_file_is_read_before_training(tmp_path):
    def one(**changes) -> str:
        (problem,) = problems({**FILE, **changes}, **PROBE)
        return problem

    pixels = keras.Input((12, 12, 1), name="grey")
    grey = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(pixels))
    doubled = keras.Model(pixels, keras.layers.Lambda(lambda x: 2 * x)(pixels))
    colour = save(vector_network(12), tmp_path / "colour.h5")
    for name in ("grey.keras", "grey.h5"):
        assert "a batch of [None, 12, 12, 3]" in one(file=save(grey, tmp_path / name))
    assert "got 32, a batch of [None, 32, 32, 3]" in one(file=colour, image_size=32)
    assert "Did you mean 'block_1_relu'?" in one(file=colour, cut_at="block_1_rel")
    layers = [keras.layers.Conv2D(4, 3, input_shape=(9, 9, 3)), keras.layers.Flatten()]
    assert "takes [None, 9, 9, 3]" in one(file=save(keras.Sequential(layers), tmp_path / "sequence.h5"))
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04\x95\x05")
    assert "pickles and other formats are not loaded" in one(file=str(tmp_path / "model.pkl"))
    assert "which is not here" in one(file=str(tmp_path / "absent.keras"))
    found = problems({**FILE, "file": save(doubled, tmp_path / "code.keras")}, **PROBE)
    assert "may run code when it is loaded: layer Lambda" in found[0]


def test_weights_that_are_no_hdf5_file_are_refused_before_training(tmp_path):
    (tmp_path / "weights.h5").write_text("version https://git-lfs.github.com/spec/v1")
    section = {"name": "SmallCNN", "weights": str(tmp_path / "weights.h5")}
    (problem,) = problems(section, **PROBE)
    assert "which is no HDF5 file" in problem


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_plan_is_printed_for_every_source(example, tmp_path):
    raw = {"name": "x", "data": {"root": "."}, "backbone": EXAMPLES[example][1](tmp_path), **PROBE}
    config = Config.model_validate(raw)
    console = Console(file=io.StringIO(), width=400)
    print_plan(config, console)
    printed = console.file.getvalue()
    assert f"backbone   {record_of(config.backbone).name}, " in printed
    assert f"weights: {config.backbone.source}\n" in printed
    assert re.search(r"^frozen     (head: the network|decided by the Trainer)", printed, re.MULTILINE)


def test_the_guide_adds_a_source(tmp_path, monkeypatch):
    file, line, contract = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    module = types.ModuleType("patch_net")
    monkeypatch.setitem(SOURCES, "PatchNet", None)  # Taken out at the end, whatever the guide puts there.
    del SOURCES["PatchNet"]
    with pytest.raises(BackboneError, match="expected one of"):
        source_of(BackboneConfig(name="PatchNet", weights="random"))
    exec(compile(file, str(GUIDE), "exec"), module.__dict__)
    exec(line, {"SOURCES": SOURCES, "PatchNet": module.PatchNet})
    exec(contract, {"check_backbone_source": check_backbone_source, "BackboneConfig": BackboneConfig})

    path = tmp_path / "config.yaml"
    raw = {"name": "x", "data": {"root": "."}, "backbone": {"name": "patch_net", "weights": "random"}}
    path.write_text(yaml.safe_dump(raw))
    assert record_of(load_config(path, checks=[backbone_fits]).backbone).image_size == 32
    path.write_text(yaml.safe_dump({**raw, "backbone": {"name": "patchnett", "weights": "random"}}))
    with pytest.raises(ConfigError, match="Did you mean 'PatchNet'"):
        load_config(path, checks=[backbone_fits])


def test_a_saved_model_is_read_before_training(tmp_path):
    encoder, preprocessor = save_bert(tmp_path / "bert")
    strings, pictures = save_string_encoder(tmp_path / "strings"), save_for_hub(vector_network(12), tmp_path / "hub")
    text = {"modality": "text", "text": {"preprocessor": str(preprocessor)}}
    for changes, message in (
        ({"handle": str(pictures), "image_size": 32}, "backbone.image_size: got 32, a batch of float32"),
        ({"handle": str(strings), "image_size": 32}, "backbone.handle: the model takes texts string [any]; pictures"),
        ({"handle": str(encoder), "modality": "text"}, "backbone.handle: the encoder takes input_mask int32"),
        ({"handle": str(strings), **text}, "backbone.text.preprocessor: it makes input_mask int32"),
        ({"handle": str(encoder), "output": "pooled", **text}, "backbone.output: got 'pooled'; the encoder gives"),
    ):
        found = problems(changes, **PROBE)
        assert any(problem.startswith(message) for problem in found), found


def test_a_saved_model_is_read_without_tensorflow(tmp_path):
    folder = save_for_hub(vector_network(12), tmp_path / "hub")
    code = (
        "import sys; from pathlib import Path; from trainer_module.backbones.saved_model import read_saved_model; "
        "print(read_saved_model(Path(sys.argv[1])).parameters, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(vector_network(12).count_params()), "False"]
