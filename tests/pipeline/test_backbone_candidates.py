"""`backbone.name: auto`: which networks are ranked, which is chosen, and what a config of it is refused for."""

from __future__ import annotations

import json

import h5py
import pytest
from hugging_face_folder import BERT, save_encoder

from finetune.artifacts.backbone_ranking import BackboneRanking, RankedBackbone
from finetune.config import BackboneConfig, DataConfig, load_config
from finetune.errors import BackboneError, ConfigError
from pipeline.backbone_choice import decided, with_backbone
from pipeline.checks import LOCAL_CHECKS
from pipeline.modalities import modality_of
from trainer_module.backbones.candidates import candidates_of, in_folder, label_of
from trainer_module.backbones.ranking import ranked

# As Keras names what it downloads, and as people name their own.
NAMES = {
    "mobilenet_v2_0.35_224_no_top.h5": "MobileNetV2 alpha=0.35 at 224",
    "mobilenet_v1_0.25_128_no_top.h5": "MobileNet alpha=0.25 at 128",
    "mobilenet_7_5_160_tf_no_top.h5": "MobileNet alpha=0.75 at 160",
    "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5": "MobileNetV2 at 224",
    "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5": "MobileNetV3Small at 224",
    "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5": "ResNet50 at 224",
    "resnet101v2_weights_tf_dim_ordering_tf_kernels_notop.h5": "ResNet101V2 at 224",
    "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5": "InceptionResNetV2 at 299",
    "NASNet-mobile-no-top.h5": "NASNetMobile at 224",
    "efficientnetv2-b0_notop.h5": "EfficientNetV2B0 at 224",
    "efficientnetb3_notop.h5": "EfficientNetB3 at 300",
    "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5": "DenseNet121 at 224",
}


def weights(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        if name.endswith(".h5"):
            h5py.File(folder / name, "w").close()
        else:
            (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_file_says_its_network(tmp_path, name):
    found = in_folder(weights(tmp_path, name), "image")
    assert found.left_out == {}
    assert [label_of(config) for config in found.candidates] == [NAMES[name]]
    assert found.candidates[0].weights == str(tmp_path / name)


def test_a_whole_network_of_sounds_is_one_for_sounds_alone(tmp_path):
    with h5py.File(tmp_path / "yamnet_log_mel_no_top.h5", "w") as file:
        layer = {"class_name": "InputLayer", "name": "log_mel", "config": {"batch_input_shape": [None, 96, 64, 1]}}
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": {"layers": [layer]}})
    (config,) = in_folder(tmp_path, "audio").candidates
    assert (config.modality, label_of(config)) == ("audio", "yamnet_log_mel_no_top")
    assert in_folder(tmp_path, "image").left_out == {
        "yamnet_log_mel_no_top.h5": "it is for audio, and the data are image"
    }


@pytest.mark.parametrize(
    ("files", "modality"),
    [
        (("low/a.wav", "high/b.flac"), "audio"),
        (("train/low/a.ogg", "val/low/b.ogg"), "audio"),
        (("low/.a.wav", "low/readme.txt", "high/b.png"), "image"),
        (("low/a.jpg",), "image"),
        (("list.csv", "sounds/a.WAV"), "audio"),
        (("list.csv",), "text"),
    ],
)
def test_the_names_of_files_say_what_the_data_are(files, modality, tmp_path):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert modality_of(DataConfig(root=str(tmp_path))) == modality
    if "list.csv" in files and modality != "text":
        assert modality_of(DataConfig(root=str(tmp_path), manifest="list.csv")) == modality


def test_what_is_no_candidate_is_left_out_with_its_reason(tmp_path):
    folder = weights(
        tmp_path,
        "resnet50_weights_tf_dim_ordering_tf_kernels.h5",
        "mine_no_top.h5",
        "readme.md",
        "glove.json",
        "vgg16_no_top.h5",
    )
    (folder / "broken.h5").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    found = in_folder(folder, "image")
    assert [label_of(config) for config in found.candidates] == ["VGG16 at 224"]
    assert "with their top do not fit" in found.left_out["resnet50_weights_tf_dim_ordering_tf_kernels.h5"]
    assert "no network that `finetune backbones` lists" in found.left_out["mine_no_top.h5"]
    assert "no file of weights" in found.left_out["readme.md"]
    assert "it is for text, and the data are image" in found.left_out["glove.json"]
    assert "neither a .keras nor an .h5" in found.left_out["broken.h5"]
    texts = in_folder(folder, "text")
    assert [label_of(config) for config in texts.candidates] == ["GloVe"]


def test_models_in_hugging_faces_layout_are_found_with_their_folders_names(tmp_path):
    for name in ("mini", "cut_off"):
        save_encoder(tmp_path / name, {**BERT, "max_position_embeddings": 128})
    (tmp_path / "cut_off" / "model.safetensors").write_bytes(b"")
    found = in_folder(tmp_path, "text")
    assert [label_of(config) for config in found.candidates] == ["BERT mini"]
    assert "cannot be read as safetensors" in found.left_out["cut_off"]
    assert "it is for text" in in_folder(tmp_path, "image").left_out["mini"]


def test_a_folder_without_weights_is_an_error_that_says_what_lies_there(tmp_path):
    auto = BackboneConfig(name="auto", weights_dir=str(weights(tmp_path / "w", "mine_no_top.h5")))
    with pytest.raises(ConfigError, match=r"holds no weights of a known network. mine_no_top.h5: its name says no"):
        candidates_of(auto, "image")
    with pytest.raises(ConfigError, match="there is no folder"):
        candidates_of(BackboneConfig(name="auto", weights_dir=str(tmp_path / "absent")), "image")


def test_candidates_that_are_listed_are_for_the_data():
    listed = {
        "name": "auto",
        "candidates": [{"name": "VGG16", "weights": "imagenet"}, {"name": "GloVe", "weights": "w"}],
    }
    with pytest.raises(ConfigError, match=r"candidates\[1\]: GloVe is for text, and the data are image"):
        candidates_of(BackboneConfig.model_validate(listed), "image")
    listed["candidates"].pop()
    assert [each.name for each in candidates_of(BackboneConfig.model_validate(listed), "image")] == ["VGG16"]


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ({"name": "auto", "weights": "imagenet"}, "weights does not go with `name: auto`"),
        ({"name": "VGG16", "weights": "imagenet", "max_size_mb": 5}, "max_size_mb goes with `name: auto` alone"),
        (
            {"name": "auto", "weights_dir": "w", "candidates": [{"name": "VGG16", "weights": "random"}]},
            "at most one of",
        ),
        ({"name": "auto", "candidates": [{"name": "VGG16"}]}, "candidates.0"),
    ],
)
def test_keys_that_do_not_go_together(backbone, message):
    with pytest.raises(ValueError, match=message):
        BackboneConfig.model_validate(backbone)


def each_measured(label, loss, latency=5.0, size=10.0):
    return RankedBackbone(
        label=label,
        backbone={"name": label, "weights": "imagenet"},
        loss=loss,
        standard_error=0.01,
        accuracy=0.9,
        latency_ms=latency,
        size_mb=size,
        seconds=1.0,
    )


def test_the_lowest_loss_within_the_bounds_is_chosen():
    measured = [each_measured("VGG16", 0.3, size=60.0), each_measured("MobileNet", 0.5), each_measured("Xception", 0.4)]
    assert ranked(measured, BackboneConfig(name="auto")).chosen == "VGG16"
    bounded = ranked(measured, BackboneConfig(name="auto", max_size_mb=20))
    assert (bounded.chosen, [each.label for each in bounded.candidates]) == (
        "Xception",
        ["VGG16", "Xception", "MobileNet"],
    )
    assert bounded.candidates[0].problem == "60.0 MB are above max_size_mb 20"
    assert "0.400; next is MobileNet with 0.500" in bounded.reason
    with pytest.raises(
        BackboneError, match=r"no candidate within the bounds.*5.0 ms an example are above max_latency_ms 1"
    ):
        ranked(measured, BackboneConfig(name="auto", max_latency_ms=1))


def config_with(tmp_path, *overrides):
    root = tmp_path / "photos"
    (root / "cats").mkdir(parents=True, exist_ok=True)
    text = (
        f"name: x\noutput_dir: {tmp_path}/out\ndata: {{root: {root}}}\n"
        f"backbone: {{name: auto, weights_dir: {tmp_path}/w}}"
    )
    (tmp_path / "c.yaml").write_text(text)
    return load_config(tmp_path / "c.yaml", overrides, checks=LOCAL_CHECKS)


def test_a_config_is_checked_for_each_candidate(tmp_path):
    weights(tmp_path / "w", "vgg16_no_top.h5", "mobilenet_v2_1.0_224_no_top.h5")
    assert config_with(tmp_path).backbone.is_open
    phase = "training.phases=[{name: a, epochs: 1, learning_rate: 0.1, unfreeze: {from_layer: block_16}}]"
    with pytest.raises(ConfigError, match=r"training.phases\[0\].unfreeze.from_layer: got 'block_16'"):
        config_with(tmp_path, phase)
    with pytest.raises(ConfigError, match="there is no folder"):
        config_with(tmp_path, f"backbone.weights_dir={tmp_path}/absent")
    with pytest.raises(ConfigError, match=r"augmentation.word_dropout"):
        config_with(tmp_path, "augmentation.word_dropout=0.1")


def test_the_backbone_that_was_chosen_stands_in_the_config_and_nothing_is_guessed(tmp_path):
    weights(tmp_path / "w", "vgg16_no_top.h5")
    config = config_with(tmp_path)
    with pytest.raises(ConfigError, match="no candidate was ranked yet"):
        decided(config)
    ranking = ranked([each_measured("VGG16", 0.3)], config.backbone)
    ranking.write(config.output_path)
    assert decided(config).backbone == BackboneConfig(name="VGG16", weights="imagenet")
    assert with_backbone(config, BackboneRanking.read(config.output_path)) == decided(config)
    assert decided(decided(config)) == decided(config)


def test_the_data_say_what_they_are(tmp_path):
    (tmp_path / "photos" / "cats").mkdir(parents=True)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "a.csv").write_text("text,label\n")
    (tmp_path / "empty").mkdir()
    assert modality_of(DataConfig(root=str(tmp_path / "photos"))) == "image"
    assert modality_of(DataConfig(root=str(tmp_path / "tables"))) == "text"
    assert modality_of(DataConfig(root=str(tmp_path / "tables" / "a.csv"))) == "text"
    assert modality_of(DataConfig(root="anything", layout="table")) == "text"
    assert modality_of(DataConfig(root="anything", manifest="m.csv")) == "image"
    for name in ("empty", "absent"):
        with pytest.raises(ConfigError, match="nothing that looks like one of sounds, pictures, texts"):
            modality_of(DataConfig(root=str(tmp_path / name)))
