"""Data sets in COCO's format: which classes a picture has, and what becomes of what makes no sense."""

import csv
import dataclasses
import io
import json

import pytest
from PIL import Image

from components.example_gen import coco
from components.example_gen.boxes import check_size
from components.example_gen.files import FileProblem
from components.example_gen.fingerprint import fingerprint
from components.example_gen.layouts import list_files
from components.example_gen.selection import select_examples
from components.example_gen.settings import IngestSettings
from components.example_gen.tasks import TASKS
from components.example_gen.tasks.multi_label import MultiLabel
from finetune.errors import DataError
from transforms.objects import MOST_OBJECTS, Box, Objects

CAT, DOG = 7, 9


def box(number, image, category, bbox=(1, 1, 4, 4), **more):
    return {"id": number, "image_id": image, "category_id": category, "bbox": list(bbox), **more}


@pytest.fixture
def data_set(tree, picture):
    """Writes pictures a.png ... d.png and a file in COCO's format; returns what is listed."""

    def write(annotations=(), images=None, content=None, **settings):
        if images is None:
            images = [
                {"id": number, "file_name": f"{name}.png", "width": 16, "height": 16, "licence": f"cc-{number % 2}"}
                for number, name in enumerate("abcd")
            ]
        categories = [{"id": CAT, "name": "cat"}, {"id": DOG, "name": "dog"}]
        found = {"images": images, "categories": categories, "annotations": list(annotations)}
        text = json.dumps(found if content is None else content)
        root = tree({f"{name}.png": picture(seed) for seed, name in enumerate("abcd")} | {"coco.json": text.encode()})
        chosen = {"task": "multi_label", "manifest": "coco.json", **settings}
        return list_files(root, IngestSettings(**chosen))

    return write


def labels(listing):
    return {file.path: file.labels for file in listing.files if not file.reason}


def reasons(listing):
    return {file.path: file.reason for file in listing.files if file.reason}


def test_a_picture_has_the_classes_of_its_boxes_each_once(data_set):
    listing = data_set([box(1, 0, DOG), box(2, 0, CAT), box(3, 0, CAT), box(4, 1, CAT)])
    assert labels(listing) == {"a.png": ("cat", "dog"), "b.png": ("cat",), "c.png": (), "d.png": ()}
    assert listing.classes == ["cat", "dog"]
    assert not listing.odd_annotations


@pytest.mark.parametrize(
    ("odd", "kind"),
    [
        (box(2, 0, DOG, (3, 3, 0, 5)), coco.NO_AREA),
        (box(2, 0, DOG, (3, 3, 5, -1)), coco.NO_AREA),
        (box(2, 0, DOG, (16, 3, 5, 5)), coco.OUTSIDE),
        (box(2, 0, DOG, (3, -9, 5, 5)), coco.OUTSIDE),
        (box(2, 0, DOG, (1, 2, 3)), coco.NO_NUMBERS),
        (box(2, 0, DOG, (1, 2, 3, float("nan"))), coco.NO_NUMBERS),
        (box(2, 0, DOG, ("1", 2, 3, 4)), coco.NO_NUMBERS),
        (box(1, 0, DOG), coco.REPEATED),
        (box(2, 77, DOG), coco.NO_PICTURE),
    ],
)
def test_what_shows_nothing_is_left_out_and_counted(data_set, odd, kind):
    listing = data_set([box(1, 0, CAT), odd])
    assert labels(listing)["a.png"] == ("cat",)
    assert listing.odd_annotations == {kind: 1}


@pytest.mark.parametrize(
    "shown",
    [
        box(2, 0, DOG, (-3, 12, 5, 50)),
        box(2, 0, DOG, iscrowd=1),
        {"id": 2, "image_id": 0, "category_id": DOG, "segmentation": [[1, 1, 2, 1, 2, 2]]},
    ],
    ids=["partly outside", "crowd", "mask alone"],
)
def test_what_shows_its_class_counts(data_set, shown):
    listing = data_set([box(1, 0, CAT), shown])
    assert labels(listing)["a.png"] == ("cat", "dog")
    assert not listing.odd_annotations


def test_a_picture_with_an_unknown_category_is_no_example(data_set):
    listing = data_set([box(1, 0, CAT), box(2, 0, 8), box(3, 0, DOG), box(4, 1, CAT)])
    assert reasons(listing) == {"a.png": "unknown category"}


def test_pictures_that_are_not_there_leave_the_root_or_come_twice_are_named(data_set):
    paths = ["a.png", "a.png", "gone.png", "../b.png", "", "/etc/passwd"]
    listing = data_set(images=[{"id": number, "file_name": path} for number, path in enumerate(paths)])
    assert sorted(filter(None, (file.reason for file in listing.files))) == [
        "duplicate picture",
        "empty path",
        "missing file",
        "unsafe path",
        "unsafe path",
    ]
    assert "image 2: " in next(file.detail for file in listing.files if file.path == "gone.png")


def test_of_one_label_an_example_a_picture_has_one_class(data_set):
    listing = data_set([box(1, 0, CAT), box(2, 0, CAT), box(3, 1, CAT), box(4, 1, DOG)], task="single_label")
    assert labels(listing) == {"a.png": ("cat",)}
    assert set(reasons(listing).values()) == {"not one class"}


def test_keys_of_images_are_columns(data_set):
    listing = data_set(slice_columns=["licence"], split_column="licence", splits={"train": "cc-0", "test": "cc-1"})
    assert [file.slices["licence"] for file in listing.files] == ["cc-0", "cc-1", "cc-0", "cc-1"]
    assert listing.plan.folders == {"train": "cc-0", "test": "cc-1"}
    with pytest.raises(DataError, match=r"data.group_column: got 'patient'; .*'licence'"):
        data_set(group_column="patient")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "has no list of objects `images`"),
        ({"images": [], "categories": {}}, "has no list of objects `categories`"),
        ({"images": [], "categories": [], "annotations": [1]}, "has no list of objects `annotations`"),
        ({"images": [{"id": 1}, {"id": 1}], "categories": [], "annotations": []}, "two objects in `images`"),
        ({"images": [{"id": None}], "categories": [], "annotations": []}, "with the id None"),
    ],
)
def test_what_is_not_cocos_format_is_refused(data_set, content, said):
    with pytest.raises(DataError, match=said):
        data_set(content=content)


def test_broken_json_is_refused(tree):
    root = tree({"coco.json": b'{"images": ['})
    with pytest.raises(DataError, match="is not valid JSON"):
        list_files(root, IngestSettings(manifest="coco.json"))


def test_the_report_counts_odd_annotations(data_set):
    listing = data_set([box(1, 0, CAT), box(2, 0, DOG, (3, 3, 0, 5)), box(3, 1, DOG), box(4, 2, CAT), box(5, 3, DOG)])
    records = [
        file if file.reason else type(file)(**{**vars(file), "sha256": f"{place:064x}"})
        for place, file in enumerate(listing.files)
    ]
    selection = select_examples(listing, records, 1.0, MultiLabel())
    assert selection.report.odd_annotations == {coco.NO_AREA: 1}


def test_a_changed_box_is_a_change_of_the_data(data_set, tmp_path, tree, picture):
    def digest(category):
        content = {
            "images": [{"id": 0, "file_name": "a.png"}],
            "categories": [{"id": CAT, "name": "cat"}, {"id": DOG, "name": "dog"}],
            "annotations": [box(1, 0, category)],
        }
        root = tree({"a.png": picture(0), "coco.json": json.dumps(content).encode()})
        return fingerprint(root, IngestSettings(task="multi_label", manifest="coco.json"))

    assert digest(CAT) != digest(DOG)


def test_blood_cells_have_the_labels_that_their_publisher_lists(real_data):
    root = real_data / "images" / "bccd"
    if not (root / "coco.json").is_file():
        pytest.skip(f"no blood cells at {root}")
    listing = list_files(str(root), IngestSettings(task="multi_label", manifest="coco.json"))
    with (root / "multilabel.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["path"]: tuple(sorted(filter(None, row["labels"].split("|")))) for row in csv.DictReader(file)}
    assert labels(listing) == rows
    assert listing.odd_annotations == {coco.NO_AREA: 2}


def objects(listing):
    return {file.path: Objects.from_text(file.objects) for file in listing.files if not file.reason}


def detected(data_set, annotations, **settings):
    return data_set(annotations, task="detection", **settings)


def test_where_boxes_are_asked_for_a_picture_has_them_in_shares_of_its_size(data_set):
    listing = detected(data_set, [box(1, 0, DOG, (4, 2, 8, 4)), box(2, 0, CAT, (0, 0, 16, 16))])
    assert objects(listing)["a.png"] == Objects(
        16, 16, (Box("dog", (0.125, 0.25, 0.375, 0.75)), Box("cat", (0.0, 0.0, 1.0, 1.0)))
    )
    assert objects(listing)["b.png"] == Objects(16, 16), "a picture without a box is one that shows nothing"
    assert labels(listing)["a.png"] == ("cat", "dog")


def test_of_other_tasks_there_are_none(data_set):
    assert {file.objects for file in data_set([box(1, 0, DOG)]).files} == {None}


@pytest.mark.parametrize(
    ("odd", "kept", "kind"),
    [
        (box(1, 0, DOG, (12, 2, 8, 4)), (Box("dog", (0.125, 0.75, 0.375, 1.0)),), coco.CUT_OFF),
        (box(1, 0, DOG, (-4, -4, 8, 8)), (Box("dog", (0.0, 0.0, 0.25, 0.25)),), coco.CUT_OFF),
        (box(1, 0, DOG, (0, 0, 8, 8), iscrowd=1), (Box("dog", (0.0, 0.0, 0.5, 0.5), True),), coco.CROWD),
        ({"id": 1, "image_id": 0, "category_id": DOG, "segmentation": []}, (), coco.NO_BOX),
        (box(1, 0, DOG, (3, 3, 0, 5)), (), coco.NO_AREA),
        (box(1, 0, DOG, (16, 3, 5, 5)), (), coco.OUTSIDE),
    ],
)
def test_odd_boxes_have_their_treatment_and_are_counted(data_set, odd, kept, kind):
    listing = detected(data_set, [odd])
    assert objects(listing)["a.png"].boxes == kept
    assert listing.odd_annotations == {kind: 1}


def test_a_picture_without_a_size_or_with_too_many_boxes_cannot_be_used(data_set):
    images = [{"id": 0, "file_name": "a.png"}, {"id": 1, "file_name": "b.png", "width": 16, "height": 16}]
    many = [box(number, 1, DOG) for number in range(MOST_OBJECTS + 1)]
    assert reasons(detected(data_set, many, images=images)) == {"a.png": "no size", "b.png": "too many boxes"}


def test_a_picture_of_another_size_than_its_boxes_were_drawn_in_cannot_be_used(picture):
    check_size(picture(1), Objects(6, 8).to_text())
    with pytest.raises(FileProblem, match="another size: got 8 x 6 pixels, and the manifest says 32 x 16"):
        check_size(picture(1), Objects(16, 32).to_text())


def test_a_photograph_counts_as_its_camera_says_it_is_turned():
    content = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(content, "JPEG", exif=exif)
    check_size(content.getvalue(), Objects(30, 20).to_text())
    with pytest.raises(FileProblem, match="as its EXIF orientation turns it"):
        check_size(content.getvalue(), Objects(20, 30).to_text())


def test_the_same_picture_with_other_boxes_contradicts_itself(tree, picture):
    one = [{"id": number, "file_name": f"{number}.png", "width": 16, "height": 16} for number in range(2)]
    content = {
        "images": one,
        "categories": [{"id": DOG, "name": "dog"}],
        "annotations": [box(1, 0, DOG), box(2, 1, DOG, (5, 5, 4, 4))],
    }
    root = tree({"0.png": picture(0), "1.png": picture(0), "coco.json": json.dumps(content).encode()})
    listing = list_files(root, IngestSettings(task="detection", manifest="coco.json"))
    records = [dataclasses.replace(record, sha256="0" * 64) for record in listing.files]
    selection = select_examples(listing, records, 1.0, TASKS["detection"])
    assert len(selection.report.conflicts) == 1


@pytest.mark.parametrize("data", [{"root": "x"}, {"root": "x", "manifest": "boxes.csv"}])
def test_detection_asks_for_a_manifest_with_boxes(data):
    (problem,) = TASKS["detection"].problems(data)
    assert "JSON file in COCO's format" in problem
    assert TASKS["detection"].problems({**data, "manifest": "coco.json"}) == []
