"""Files and labels from a JSON file in COCO's format: a picture has the classes of the boxes in it, or those boxes.

The format is that of https://cocodataset.org/#format-data: lists `images`, `categories` and `annotations`, which refer
to the other two by `id`. Files like it come from many tools, so nothing in one is trusted.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from components.example_gen.columns import check_columns, common_columns
from components.example_gen.files import FileProblem, FileRecord, check_label, describer, printable
from components.example_gen.manifest import Manifest, manifest_bytes, path_problem
from components.example_gen.settings import IngestSettings
from components.example_gen.tasks import TASKS
from components.example_gen.voc import VocFolder
from finetune.errors import DataError
from transforms.objects import MOST_OBJECTS, Box, Objects

EXTENSION = ".json"
_LISTS = ("images", "categories", "annotations")
# Annotations that say nothing of a picture; each is to follow a number.
NO_AREA = "without area, left out"
OUTSIDE = "outside of their picture, left out"
REPEATED = "with the id of an earlier one, left out"
NO_PICTURE = "of a picture that is not listed, left out"
NO_NUMBERS = "with a box that is not four finite numbers, left out"
# Of boxes that are looked for.
NO_BOX = "without a box, left out"
CUT_OFF = "partly outside of their picture, cut off at its border"
CROWD = "around a crowd, neither learned nor counted"


def is_coco(manifest: str) -> bool:
    """Tells whether a manifest is read as COCO has it: by its name."""
    return manifest.lower().endswith(EXTENSION)


def read_coco(root: str, settings: IngestSettings) -> Manifest:
    """Reads the JSON file that `settings.manifest` names and looks up each picture under `root`.

    The columns that `settings` names are keys of the objects in `images`, such as `license`.

    Raises:
        DataError: The file is missing or is not COCO's format, two pictures or two categories have the same id, or
            no picture has a column.
    """
    path, data = manifest_bytes(root, settings)
    return _manifest(root, settings, path, _lists(path, data), hashlib.sha256(data).hexdigest())


def read_voc(root: str, settings: IngestSettings) -> Manifest:
    """Reads the XML files of the folder that `settings.manifest` names, as Pascal VOC has them, like `read_coco`.

    Raises:
        DataError: There is none.
    """
    assert settings.manifest is not None, "a manifest is named"
    folder = VocFolder(root, settings.manifest)
    found = _manifest(root, settings, os.path.join(root, settings.manifest), folder.lists, folder.sha256)
    return replace(found, files=[*found.files, *folder.unread])


def _manifest(
    root: str, settings: IngestSettings, path: str, lists: list[list[dict[str, Any]]], sha256: str
) -> Manifest:
    images, categories, annotations = lists
    columns = {key: name for key, name in common_columns(settings).items() if key != "label_column"}
    check_columns(path, sorted({key for image in images for key in image}), columns)
    names = {
        number: str(each.get("name", "")).strip() for number, each in _by_id(path, "categories", categories).items()
    }
    counts: Counter[str] = Counter()
    by_image = _by_id(path, "images", images)
    found = _boxes(by_image, names, annotations, counts)
    has_boxes = TASKS[settings.task].has_boxes
    objects = {
        number: _objects(by_image[number], boxes, counts) if has_boxes else None for number, boxes in found.items()
    }
    files = list(_records(root, by_image, found, objects, settings))
    split_values = None
    if settings.split_column:
        split_values = sorted({record.folder for record in files if record.folder})
    return Manifest(files, split_values, sha256, dict(+counts))


def _lists(path: str, data: bytes) -> list[list[dict[str, Any]]]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"data.manifest: {path!r} is not valid JSON ({error}); expected COCO's format.") from None
    for name in _LISTS:
        found = content.get(name) if isinstance(content, dict) else None
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise DataError(
                f"data.manifest: {path!r} has no list of objects `{name}`; expected COCO's format, a JSON object with "
                f"{', '.join(_LISTS)}."
            )
    return [content[name] for name in _LISTS]


def _by_id(path: str, kind: str, objects: list[dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for each in objects:
        number = each.get("id")
        if not isinstance(number, int | str):
            raise DataError(
                f"data.manifest: {path!r} has an object in `{kind}` with the id {number!r}; expected a number."
            )
        if number in found:
            raise DataError(
                f"data.manifest: {path!r} has two objects in `{kind}` with the id {number!r}; annotations refer to "
                "one of them. Give each an id of its own."
            )
        found[number] = each
    return found


@dataclass(frozen=True)
class _Annotated:
    """What shows something: its class, and the annotation."""

    name: str
    annotation: Mapping[str, Any]


def _boxes(
    images: Mapping[Any, Mapping[str, Any]],
    names: Mapping[Any, str],
    annotations: list[dict[str, Any]],
    counts: Counter[str],
) -> dict[Any, list[_Annotated] | FileProblem]:
    """Returns what each picture shows, or why it is not known; counts what is odd about annotations."""
    found: dict[Any, list[_Annotated] | FileProblem] = {number: [] for number in images}
    seen = set()
    for annotation in annotations:
        number, image = annotation.get("id"), annotation.get("image_id")
        if number is not None and number in seen:
            counts[REPEATED] += 1
            continue
        seen.add(number)
        if image not in images:
            counts[NO_PICTURE] += 1
            continue
        if odd := _odd(annotation, images[image]):
            counts[odd] += 1
            continue
        category, there = annotation.get("category_id"), found[image]
        if category not in names:
            # What else is in the picture is known, and whether a class is absent is not.
            found[image] = FileProblem("unknown category", f"annotation {number!r} has the category {category!r}")
        elif isinstance(there, list):
            there.append(_Annotated(names[category], annotation))
    return found


def _objects(
    image: Mapping[str, Any], shown: list[_Annotated] | FileProblem, counts: Counter[str]
) -> Objects | FileProblem:
    """Returns where the objects are, cut off at the borders of the picture, or why that is not known."""
    if isinstance(shown, FileProblem):
        return shown
    height, width = image.get("height"), image.get("width")
    if not all(isinstance(side, int) and side > 0 for side in (height, width)):
        return FileProblem(
            "no size", f"got {width!r} x {height!r}; boxes are in pixels, of so many `width` and `height`"
        )
    assert isinstance(height, int), "as was just seen"
    assert isinstance(width, int), "as was just seen"
    boxes = []
    for each in shown:
        if each.annotation.get("bbox") is None:
            counts[NO_BOX] += 1
            continue
        left, top, across, down = each.annotation["bbox"]
        whole = (top / height, left / width, (top + down) / height, (left + across) / width)
        upper, start, lower, end = (min(max(float(edge), 0.0), 1.0) for edge in whole)
        # A pixel's hundredth beyond the border is how numbers were rounded.
        counts[CUT_OFF] += max(abs(a - b) for a, b in zip(whole, (upper, start, lower, end), strict=True)) > 1e-4
        is_crowd = bool(each.annotation.get("iscrowd"))
        counts[CROWD] += is_crowd
        boxes.append(Box(each.name, (upper, start, lower, end), is_crowd))
    if len(boxes) > MOST_OBJECTS:
        return FileProblem("too many boxes", f"got {len(boxes)}; expected at most {MOST_OBJECTS}. Cut the picture up")
    return Objects(height, width, tuple(boxes))


def _odd(annotation: Mapping[str, Any], image: Mapping[str, Any]) -> str | None:
    """Says why the box of an annotation shows nothing; None where it shows something, or there is no box but a mask.

    One that is partly outside of its picture, and one around a crowd, show their class like any other. Where boxes are
    looked for, the first is cut off at the border, and the second is neither learned nor counted (`_objects`).
    """
    box = annotation.get("bbox")
    if box is None:
        return None
    numbers = isinstance(box, list) and len(box) == 4 and all(isinstance(each, int | float) for each in box)
    if not numbers or not all(map(math.isfinite, box)):
        return NO_NUMBERS
    left, top, width, height = box
    if width <= 0 or height <= 0:
        return NO_AREA
    sides = image.get("width"), image.get("height")
    if not all(isinstance(side, int | float) and side > 0 for side in sides):
        return None
    is_inside = left < sides[0] and top < sides[1] and left + width > 0 and top + height > 0
    return None if is_inside else OUTSIDE


def _records(
    root: str,
    images: Mapping[Any, Mapping[str, Any]],
    shown: Mapping[Any, list[_Annotated] | FileProblem],
    objects: Mapping[Any, Objects | FileProblem | None],
    settings: IngestSettings,
) -> Iterator[FileRecord]:
    seen, describe = set(), describer(root)
    for number, image in images.items():
        given = str(image.get("file_name") or "").strip()
        labels, problem = _labels(shown[number], settings)
        where = objects[number]
        if isinstance(where, FileProblem):
            problem = problem or where
        record = FileRecord(
            path=posixpath.normpath(given) if given else "",
            labels=labels,
            folder=_cell(image, settings.split_column) if settings.split_column else None,
            slices={name: _cell(image, name) for name in settings.slice_columns},
            group=_cell(image, settings.group_column) if settings.group_column else None,
            objects=where.to_text() if isinstance(where, Objects) else None,
        )
        problem = path_problem(given, record.path) or problem
        if not problem and record.path in seen:
            problem = FileProblem("duplicate picture", "an earlier object in `images` has the same file_name")
        seen.add(record.path)
        record = record.without(problem) if problem else describe(record)
        if record.reason:
            record = record.without(FileProblem(record.reason, f"image {printable(repr(number))}: {record.detail}"))
        yield record


def _labels(
    found: list[_Annotated] | FileProblem, settings: IngestSettings
) -> tuple[tuple[str, ...], FileProblem | None]:
    """Returns the labels of a picture, as many as the task wants; none, and why, where that does not go."""
    if isinstance(found, FileProblem):
        return (), found
    names = tuple(sorted({each.name for each in found}))
    try:
        for name in names:
            check_label(name)
        if TASKS[settings.task].one_label and len(names) != 1:
            raise FileProblem(
                "not one class", f"its boxes are of {len(names)} classes; task: multi_label takes any number"
            )
    except FileProblem as problem:
        return (), problem
    return names, None


def _cell(image: Mapping[str, Any], name: str) -> str:
    value = image.get(name)
    return "" if value is None else str(value).strip()
