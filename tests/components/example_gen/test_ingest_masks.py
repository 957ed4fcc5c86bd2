"""Pictures with masks: which folders and manifests are read, what values mean, and what becomes of what is odd."""

import io

import numpy as np
import pytest
from PIL import Image

from components.example_gen.files import FileProblem, FileRecord
from components.example_gen.fingerprint import fingerprint
from components.example_gen.layouts import list_files
from components.example_gen.masks import read_mask
from components.example_gen.selection import select_examples
from components.example_gen.settings import IngestSettings
from components.example_gen.tasks import TASKS
from finetune.errors import DataError
from pipeline.tasks import task_fits
from transforms.masks import VOID, colour_of, from_png, in_colours, resized, to_png

SETTINGS = IngestSettings(task="segmentation")
CLASSES = b"background\nflower\n\nleaf\n"
VALUES = np.array([[0, 1], [255, 3]])


def png(values, mode="L") -> bytes:
    content = io.BytesIO()
    drawn = Image.fromarray(np.asarray(values).astype(bool if mode == "1" else np.uint8))
    if mode == "P":
        drawn = drawn.convert("P")
        drawn.putdata(np.asarray(values).ravel().tolist())
        drawn.putpalette([200 - value // 5 for value in range(768)])
    elif mode == "I;16":
        drawn = Image.fromarray(np.asarray(values).astype(np.uint16))
    elif mode not in ("1", "L"):
        drawn = drawn.convert(mode)
    drawn.save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def masked(tree, picture):
    """Writes pictures `a`, `b`, ... with these masks; returns the root."""

    def write(*masks: bytes, folders=("images", "masks"), classes=CLASSES, more=None) -> str:
        names = "abcdefgh"[: len(masks)]
        files = {f"{folders[0]}/{name}.png": picture(seed, size=(2, 2)) for seed, name in enumerate(names)}
        files |= {f"{folders[1]}/{name}.png": mask for name, mask in zip(names, masks, strict=True)}
        return tree({**files, "classes.txt": classes, **(more or {})})

    return write


@pytest.mark.parametrize("folders", [("images", "masks"), ("JPEGImages", "SegmentationClass")])
@pytest.mark.parametrize("mode", ["L", "P"])
def test_values_become_places_in_the_labels_of_the_picture(masked, folders, mode):
    root = masked(png(VALUES, mode), folders=folders)
    listing = list_files(root, SETTINGS)
    (record,) = listing.files
    assert (record.path, record.mask) == (f"{folders[0]}/a.png", f"{folders[1]}/a.png")
    assert listing.classes == ["background", "flower", "leaf"]
    labels, mask = read_mask(root, record)
    assert labels == ("background", "flower", "leaf")
    assert from_png(mask).tolist() == [[0, 1], [VOID, 2]]


def test_a_mask_of_two_colours_has_the_values_0_and_1(masked):
    root = masked(png([[0, 1], [1, 1]], "1"))
    labels, mask = read_mask(root, list_files(root, SETTINGS).files[0])
    assert labels == ("background", "flower")
    assert from_png(mask).tolist() == [[0, 1], [1, 1]]


def test_labels_are_those_in_the_mask_alone(masked):
    root = masked(png([[3, 3], [3, 255]]))
    labels, mask = read_mask(root, list_files(root, SETTINGS).files[0])
    assert labels == ("leaf",)
    assert from_png(mask).tolist() == [[0, 0], [0, VOID]]


@pytest.mark.parametrize(
    ("mask", "reason", "detail"),
    [
        (
            png([[0, 2], [0, 0]]),
            "mask: unknown class",
            "it has the value 2, 1 pixels of it; classes.txt names 3 values",
        ),
        (png([[0, 9], [9, 0]]), "mask: unknown class", "it has the value 9, 2 pixels of it"),
        (png([[255, 255], [255, 255]]), "mask: all void", "every pixel is 255"),
        (png(VALUES, "RGB"), "not a mask", "its pixels are RGB; expected a PNG file with a palette"),
        (png(VALUES, "RGBA"), "not a mask", "its pixels are RGBA"),
        (png(VALUES, "I;16"), "not a mask", "its pixels are I;16"),
        (b"\xff\xd8\xff\xe0 a JPEG", "not a mask", "expected a PNG file, which keeps values as they are"),
        (png(np.zeros((50, 50)))[:-40], "damaged mask", "it cannot be decoded"),
        (b"", "mask: empty file", "it has no bytes"),
    ],
)
def test_a_mask_that_cannot_be_used_is_named(masked, mask, reason, detail):
    root = masked(mask)
    (record,) = list_files(root, SETTINGS).files
    if record.reason is None:
        with pytest.raises(FileProblem) as problem:
            read_mask(root, record)
        record = record.without(problem.value)
    assert record.reason == reason
    assert record.detail.startswith(f"mask masks/a.png: {detail}")


def test_a_mask_of_another_size_is_named_and_a_turned_jpeg_is_taken_as_it_is_looked_at(masked, picture):
    root = masked(png([[0, 1, 1], [0, 0, 0]]))
    (record,) = list_files(root, SETTINGS).files
    with pytest.raises(FileProblem, match=r"masks/a\.png: got 3 x 2 pixels, and the picture has 2 x 2"):
        read_mask(root, record, picture(size=(2, 2)))
    exif = Image.Exif()
    exif[0x0112] = 6
    on_its_side = picture(format="JPEG", size=(2, 3), exif=exif)
    assert read_mask(root, record, on_its_side)[0] == ("background", "flower")


def test_a_picture_without_a_mask_is_a_mistake_but_in_vocs_folders(masked, picture):
    voc = masked(png(VALUES), folders=("JPEGImages", "SegmentationClass"), more={"JPEGImages/z.jpg": picture(9)})
    found = list_files(voc, SETTINGS)
    assert [file.path for file in found.files] == ["JPEGImages/a.png"]
    assert found.ignored == ["JPEGImages/z.jpg"]
    found = list_files(masked(png(VALUES), more={"images/z.jpg": picture(9)}), SETTINGS)
    problem = "mask masks/z.png: it is not there, or went away while the data was read"
    assert [(file.path, file.reason, file.detail) for file in found.files if file.reason] == [
        ("images/z.jpg", "mask: missing file", problem)
    ]


def test_a_manifest_names_masks_and_splits(masked):
    rows = b"path,mask,part\nimages/a.png,masks/b.png,train\nimages/b.png,../b.png,test\nimages/c.png,no.png,test\n"
    root = masked(png(VALUES), png([[1, 1], [1, 1]]), png(VALUES), more={"list.csv": rows})
    settings = IngestSettings(task="segmentation", manifest="list.csv", split_column="part")
    listing = list_files(root, settings)
    assert listing.classes == ["background", "flower", "leaf"]
    found = {file.mask or file.detail: file for file in listing.files}
    assert found["masks/b.png"].folder == "train"
    assert {file.reason for file in listing.files if file.reason} == {"unsafe path", "mask: missing file"}
    assert all("line " in file.detail for file in listing.files if file.reason)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"cats/a.png": b""}, r"with the folders cats; expected `images` with pictures and `masks` with masks, or"),
        ({"images/a.png": b"", "masks/a.png": b""}, r"classes.txt' cannot be read \(missing file.*a class a line"),
        ({"images/a.png": b"", "masks/a.png": b"", "classes.txt": b"\xff\xfe"}, "is not UTF-8"),
        ({"images/a.png": b"", "masks/a.png": b"", "classes.txt": b"a\nb\na\n"}, "has the class 'a' twice"),
        ({"images/x": b"", "masks/a.png": b"", "classes.txt": b"a\n" + b"\n" * 255}, "has 256 lines; expected at most"),
        ({"images/.a": b"", "masks/a.png": b"", "classes.txt": b"a\nb"}, "without a picture with a mask in 'images'"),
    ],
)
def test_a_root_that_cannot_be_understood(tree, files, message):
    with pytest.raises(DataError, match=message):
        list_files(tree(files), SETTINGS)


def test_what_is_read_depends_on_masks_and_on_what_their_values_mean(masked, tmp_path):
    root = masked(png(VALUES))
    before = fingerprint(root, SETTINGS)
    assert fingerprint(root, SETTINGS) == before
    (tmp_path / "other").mkdir()
    assert fingerprint(masked(png(VALUES), classes=CLASSES.replace(b"leaf", b"stem")), SETTINGS) != before
    assert fingerprint(masked(png(np.zeros((2, 2)))), SETTINGS) != before


def test_the_same_picture_with_two_masks_is_a_conflict():
    listed = [
        FileRecord(f"images/{name}.png", ("a", "b"), mask=f"masks/{name}.png", mask_sha256=digest, sha256=content * 64)
        for name, digest, content in (("x", "1", "0"), ("y", "2", "0"), ("z", "1", "1"))
    ]
    from components.example_gen.layouts import Listing
    from components.example_gen.splits import SplitPlan

    plan = SplitPlan({}, {"val": 0.2, "test": 0.2})
    found = select_examples(Listing("masks", listed, ["a", "b"], plan, []), listed, 1.0, TASKS["segmentation"])
    assert {record.path for record in found.left_out} == {"images/x.png", "images/y.png"}


def test_a_record_keeps_what_is_known_of_its_mask():
    record = FileRecord("a.png", ("x",), mask="m.png", mask_classes=("x", "", "y"), mask_sha256="0")
    assert FileRecord.from_json(record.to_json()) == record


def test_masks_are_resized_to_the_nearest_pixel_and_keep_their_values_in_colours():
    mask = np.array([[0, 1], [2, VOID]], np.uint8)
    assert resized(mask, 4, 6).tolist() == np.repeat(np.repeat(mask, 2, 0), 3, 1).tolist()
    assert resized(resized(mask, 5, 7), 2, 2).tolist() == mask.tolist()
    assert (from_png(in_colours(mask)) == mask).all()
    assert (from_png(to_png(mask)) == mask).all()
    assert len({colour_of(value) for value in range(VOID + 1)}) == VOID + 1


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"manifest": "coco.json"}, "data.manifest: got 'coco.json'; segmentation takes a CSV file"),
        ({"layout": "classes"}, "data.layout: got 'classes'; segmentation expects"),
        ({"corrections": "fixes.csv"}, "data.corrections: got 'fixes.csv'; it corrects labels"),
        ({"serving_log": "log.csv"}, "data.serving_log: got 'log.csv'; what was served has no masks"),
    ],
)
def test_data_that_do_not_go_with_masks_are_refused(data, problem):
    (found,) = TASKS["segmentation"].problems(data)
    assert found.startswith(problem)


def test_other_tasks_read_no_masks():
    (problem,) = task_fits({"task": "multi_label", "data": {"layout": "masks"}})
    assert problem.startswith("data.layout: got 'masks', and task multi_label reads none")
