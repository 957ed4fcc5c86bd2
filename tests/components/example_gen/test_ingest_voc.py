"""Folders of XML files as Pascal VOC has them: where objects are, and what becomes of what is odd."""

import pytest

from components.example_gen import coco
from components.example_gen.fingerprint import fingerprint
from components.example_gen.layouts import list_files
from components.example_gen.settings import IngestSettings
from finetune.errors import DataError
from transforms.objects import Box, Objects


def xml(picture: str, *objects: str, size: str = "<width>16</width><height>8</height>") -> bytes:
    return f"<annotation><filename>{picture}</filename><size>{size}</size>{''.join(objects)}</annotation>".encode()


def box(name: str, left: object, top: object, right: object, bottom: object, difficult: int = 0) -> str:
    edges = f"<xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{edges}</bndbox></object>"


@pytest.fixture
def listed(tree, picture):
    """Writes pictures and annotations in VOC's folders; returns what is listed."""

    def write(annotations: dict[str, bytes], pictures: str = "JPEGImages/", **settings):
        files = {f"Annotations/{name}": content for name, content in annotations.items()}
        root = tree(files | {f"{pictures}{name}.png": picture(seed) for seed, name in enumerate("ab")})
        return list_files(root, IngestSettings(**{"task": "detection", "manifest": "Annotations", **settings}))

    return write


def objects(listing):
    return {file.path: Objects.from_text(file.objects) for file in listing.files if not file.reason}


def test_pixels_count_from_one_to_the_last(listed):
    found = listed({"a.xml": xml("a.png", box("cat", 1, 1, 16, 8), box("a dog", 5, 3, 8, 4)), "b.xml": xml("b.png")})
    assert objects(found) == {
        "JPEGImages/a.png": Objects(8, 16, (Box("cat", (0, 0, 1, 1)), Box("a dog", (0.25, 0.25, 0.5, 0.5)))),
        "JPEGImages/b.png": Objects(8, 16),
    }
    assert found.classes == ["a dog", "cat"]


def test_pictures_may_lie_beside_the_folder(listed):
    assert list(objects(listed({"a.xml": xml("a.png", box("cat", 1, 1, 4, 4))}, pictures=""))) == ["a.png"]


@pytest.mark.parametrize(
    ("odd", "kept", "kind"),
    [
        (box("cat", 1, 1, 8, 4, difficult=1), (Box("cat", (0, 0, 0.5, 0.5), True),), coco.CROWD),
        (box("cat", 9, 1, 24, 8), (Box("cat", (0, 0.5, 1, 1)),), coco.CUT_OFF),
        (box("cat", 5, 5, 4, 8), (), coco.NO_AREA),
        (box("cat", "one", 1, 4, 4), (), coco.NO_NUMBERS),
        (box("cat", 20, 1, 24, 4), (), coco.OUTSIDE),
    ],
)
def test_odd_boxes_are_treated_as_those_of_coco(listed, odd, kept, kind):
    found = listed({"a.xml": xml("a.png", odd)})
    assert objects(found)["JPEGImages/a.png"].boxes == kept
    assert found.odd_annotations == {kind: 1}


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"<annotation><filename>", "it is not valid XML"),
        (b"<page></page>", "got <page>; expected <annotation>"),
        (b"<annotation></annotation>", "with a <filename> in it"),
    ],
)
def test_a_file_that_is_no_annotation_is_named_and_loses_no_other(listed, content, detail):
    found = listed({"a.xml": content, "b.xml": xml("b.png", box("cat", 1, 1, 4, 4))})
    (bad,) = [file for file in found.files if file.reason]
    assert (bad.path, bad.reason) == ("Annotations/a.xml", "bad annotation")
    assert detail in bad.detail
    assert list(objects(found)) == ["JPEGImages/b.png"]


def test_a_picture_without_a_size_or_that_leaves_the_root_cannot_be_used(listed):
    found = listed({"a.xml": xml("a.png", size=""), "b.xml": xml("../../b.png")})
    assert sorted(file.reason for file in found.files) == ["no size", "unsafe path"]


def test_a_folder_without_annotations_is_refused(listed):
    with pytest.raises(DataError, match=r"a folder without any file that ends in \.xml"):
        listed({"readme.txt": b"nothing"})


def test_several_labels_are_read_of_it_too(listed):
    found = listed({"a.xml": xml("a.png", box("cat", 1, 1, 4, 4), box("dog", 1, 1, 4, 4))}, task="multi_label")
    assert {file.path: (file.labels, file.objects) for file in found.files} == {
        "JPEGImages/a.png": (("cat", "dog"), None)
    }


def test_a_box_that_moves_changes_the_data(tree, picture):
    settings = IngestSettings(task="detection", manifest="Annotations")
    digests = set()
    for left in (1, 2):
        content = {"Annotations/a.xml": xml("a.png", box("cat", left, 1, 4, 4)), "a.png": picture(0)}
        digests.add(fingerprint(tree(content), settings))
    assert len(digests) == 2
