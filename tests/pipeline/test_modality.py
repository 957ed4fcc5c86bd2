"""What a config says must go with what its backbone is shown: pictures or texts."""

from __future__ import annotations

import pytest

from finetune.config import DataConfig, load_config
from finetune.errors import ConfigError
from pipeline.checks import averaging_fits, backbone_fits, files_exist, modality_fits, places_can_be_seen

TEXT = {"name": "GloVe", "weights": "words.txt"}
IMAGE = {"name": "MobileNetV2", "weights": "random"}
ENCODER = {"handle": "encoder", "modality": "text"}


def problems(backbone: dict, **sections) -> list[str]:
    return modality_fits({"backbone": backbone, **sections})


@pytest.mark.parametrize("backbone", [TEXT, ENCODER])
@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"augmentation": {"rotation": 0.1}}, "augmentation.rotation: got 0.1; "),
        (
            {"training": {"phases": [{}, {"augmentation": {"zoom": 0.1}}]}},
            "training.phases[1].augmentation.zoom: got 0.1; ",
        ),
        ({"data": {"layout": "classes"}}, "data.layout: got 'classes'; "),
        ({"data": {"manifest": "list.csv"}}, "data.manifest: got 'list.csv'; "),
        ({"data": {"max_pixels": 10}}, "data.max_pixels: got 10; "),
    ],
)
def test_settings_of_pictures_are_no_settings_of_texts(backbone, sections, message):
    (problem,) = problems(backbone, **sections)
    assert problem.startswith(message)
    assert "is shown texts" in problem
    assert problems(IMAGE, **sections) == []


@pytest.mark.parametrize(
    "data", [{"columns": ["a"]}, {"text_column": "a"}, {"max_characters": 9}, {"layout": "table"}], ids=str
)
def test_settings_of_texts_are_no_settings_of_pictures(data):
    (problem,) = problems(IMAGE, data=data)
    assert "MobileNetV2 is shown pictures" in problem
    assert problems(TEXT, data=data) == []


def test_an_image_size_is_none_of_a_texts():
    (problem,) = problems({**TEXT, "image_size": 224})
    assert problem.startswith("backbone.image_size: got 224; GloVe is shown texts")


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_places_are_found_inside_a_backbone_of_pictures(task):
    def found(backbone: dict, task: str = task) -> list[str]:
        return places_can_be_seen({"task": task, "backbone": backbone})

    assert found(IMAGE) == found(TEXT, task="multi_label") == found(TEXT, task=["detection"]) == []
    (problem,) = found(TEXT)
    assert problem.startswith(f"backbone: got GloVe, which is shown texts; with task {task} expected")
    (problem,) = found({"handle": "model", "image_size": 64})
    assert problem.startswith(
        f"backbone: got model, a SavedModel, whose inside cannot be seen; with task {task} expected"
    )


@pytest.mark.parametrize("wanted", ["flip", "measured"])
def test_only_pictures_that_may_be_flipped_are_averaged_with_their_mirror_images(wanted):
    def found(backbone: dict, training: dict, **augmentation) -> list[str]:
        training = {"test_time_augmentation": wanted, **training}
        return averaging_fits({"backbone": backbone, "training": training, "augmentation": augmentation})

    phase = {"name": "all", "epochs": 1, "learning_rate": 0.1, "augmentation": {"horizontal_flip": True}}
    assert found(IMAGE, {}, horizontal_flip=True) == found(IMAGE, {"phases": [phase]}) == []
    assert found(IMAGE, {"strategy": "auto"}, horizontal_flip=True) == []
    for training in ({}, {"strategy": "linear_probe"}):
        (problem,) = found(IMAGE, training, rotation=0.1)
        assert problem.startswith(
            f"training.test_time_augmentation: got {wanted!r}, and nothing says that a mirror image"
        )
        assert "expected augmentation.horizontal_flip true beside it, or `none`" in problem
    assert found(IMAGE, {"strategy": "auto"}, horizontal_flip=False)
    assert (found(IMAGE, {"strategy": "auto"}) == []) == (wanted == "measured"), "`auto` finds out whether they may"
    for backbone in (TEXT, ENCODER):
        (problem,) = found(backbone, {})
        assert "is shown texts, and only pictures alone are averaged" in problem
    assert averaging_fits({"backbone": TEXT, "training": {"strategy": "auto"}}) == [], "nobody has asked for it"


def test_tables_and_encoders_have_settings_of_their_own():
    probe = {"training": {"strategy": "linear_probe"}}
    (problem,) = backbone_fits({"backbone": {**TEXT, "text": {"preprocessor": "p"}}, **probe})
    assert problem.startswith("backbone.text.preprocessor: got 'p'; it is about handles")
    (problem,) = backbone_fits({"backbone": {**ENCODER, "text": {"max_words": 9}}, **probe})
    assert problem.startswith("backbone.text.max_words: got 9; it is about tables")
    (problem,) = backbone_fits({"backbone": {"name": "GloVe", "weights": "random"}, **probe})
    assert problem.startswith("backbone.text.vocabulary: missing")


def test_changes_that_are_off_are_no_changes():
    assert problems(TEXT, augmentation={"rotation": 0.0, "horizontal_flip": False}) == []


def test_texts_may_be_one_file(tmp_path):
    table = tmp_path / "texts.csv"
    table.touch()
    files = {"data": {"root": str(table)}}
    (tmp_path / "words.txt").touch()
    text = {**TEXT, "weights": str(tmp_path / "words.txt")}
    assert files_exist({**files, "backbone": text}) == []
    (problem,) = files_exist({**files, "backbone": IMAGE})
    assert "expected a folder of images" in problem
    (problem,) = files_exist({"data": {"root": "absent.csv"}, "backbone": text})
    assert "expected a CSV, TSV or JSONL file" in problem


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"columns": ["a", "b"]}, "are about a manifest or a table"),
        ({"layout": "table", "columns": ["text", "class"]}, "expected every name once, and label among them"),
        ({"layout": "table", "columns": ["text", "label", "label"]}, "expected every name once"),
        ({"layout": "table", "manifest": "list.csv"}, "leave one of them out"),
        ({"layout": "table", "slice_columns": ["text"]}, "text is a name that every example has already"),
    ],
)
def test_columns_go_with_a_table(data, message):
    with pytest.raises(ValueError, match=message):
        DataConfig.model_validate({"root": "x", **data})


def test_validate_reports_it_with_the_other_mistakes(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(
        "name: x\ndata: {root: x}\nbackbone: {name: GloVe, weights: w}\naugmentation: {zoom: 0.1}\ntraining: {sed: 1}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path, [], checks=[modality_fits])
    assert any(problem.startswith("augmentation.zoom:") for problem in caught.value.problems)
    assert any(problem.startswith("training.sed:") for problem in caught.value.problems)
