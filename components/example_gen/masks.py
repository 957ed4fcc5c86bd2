"""Masks beside pictures: where they are, what their values mean, and whether they are of the picture they come with."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import posixpath
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from components.example_gen.boxes import upright_size
from components.example_gen.files import (
    FileProblem,
    FileRecord,
    check_label,
    describer,
    list_folder,
    printable,
    read_file,
)
from finetune.errors import DataError
from transforms.masks import VOID, to_png

CLASSES_FILE = "classes.txt"
# Folders of pictures and of their masks, side by side: ours, and those of Pascal VOC.
VOC = ("JPEGImages", "SegmentationClass")
FOLDERS = (("images", "masks"), VOC)
_MAGIC = b"\x89PNG\r\n\x1a\n"
# Of Pillow: places in a palette, grey levels, black and white.
_MODES = ("P", "L", "1")


@dataclasses.dataclass(frozen=True)
class MaskFolder:
    """What a folder of pictures and one of masks offer.

    Attributes:
        files: A record for each picture, with its mask.
        classes: Names by value; empty of values that are no class.
        sha256: Hex digest of the file that names them.
        ignored: Paths of what is not read: folders, and of VOC pictures without a mask.
    """

    files: list[FileRecord]
    classes: Sequence[str]
    sha256: str
    ignored: list[str]


def read_classes(root: str) -> tuple[list[str], str]:
    """Returns the names of the values in masks, from CLASSES_FILE in a root, and the hex digest of its bytes.

    A line is the class of the value that it is the number of, counted from 0; a value whose line is empty is no class.

    Raises:
        DataError: It is missing or not UTF-8, a name is there twice, or there are more than a mask can hold.
    """
    path = os.path.join(root, CLASSES_FILE)
    expected = (
        f"expected a text file {CLASSES_FILE} in data.root with a class a line: the first is that of the value 0 in "
        "masks, such as `background`"
    )
    try:
        data = read_file(path)
        names = [line.strip() for line in data.decode("utf-8-sig").splitlines()]
    except FileProblem as problem:
        raise DataError(f"data.root: {printable(path)!r} cannot be read ({problem}); {expected}.") from None
    except UnicodeDecodeError:
        raise DataError(f"data.root: {printable(path)!r} is not UTF-8; {expected}.") from None
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise DataError(f"data.root: {printable(path)!r} has the class {repeated[0]!r} twice; {expected}.")
    if len(names) > VOID:
        raise DataError(f"data.root: {printable(path)!r} has {len(names)} lines; expected at most {VOID}.")
    for name in filter(None, names):
        try:
            check_label(name)
        except FileProblem as problem:
            raise DataError(f"data.root: {printable(path)!r}: {problem}.") from None
    return names, hashlib.sha256(data).hexdigest()


def list_masks(root: str) -> MaskFolder:
    """Lists the pictures of a root that has one of FOLDERS, each with the PNG file of the same stem as its mask.

    Raises:
        DataError: There are no such folders, or it is not said what values mean.
    """
    try:
        there = {name for name, is_folder in list_folder(root) if is_folder}
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"data.root: got {printable(root)!r} ({reason}); expected a readable folder.") from None
    pair = next((pair for pair in FOLDERS if there.issuperset(pair)), None)
    if pair is None:
        wanted = ", or ".join(f"`{pictures}` with pictures and `{masks}` with masks" for pictures, masks in FOLDERS)
        found = ", ".join(sorted(there)) or "none"
        raise DataError(
            f"data.root: got the folder {printable(root)!r} with the folders {found}; expected {wanted}: PNG files of "
            "the same names. Or name a CSV file in data.manifest with the columns `path` and `mask`."
        )
    classes, sha256 = read_classes(root)
    describe = describer(root)
    names = [name for name, is_folder in list_folder(os.path.join(root, pair[1])) if not is_folder]
    masks = {os.path.splitext(name)[0]: name for name in names if name.lower().endswith(".png")}
    files, ignored = [], []
    for name, is_folder in list_folder(os.path.join(root, pair[0])):
        stem, record = os.path.splitext(name)[0], FileRecord(posixpath.join(pair[0], name), ())
        # Of VOC's pictures, one in six has a mask.
        if is_folder or (pair == VOC and stem not in masks):
            ignored.append(record.path)
        else:
            files.append(with_mask(record, posixpath.join(pair[1], masks.get(stem, f"{stem}.png")), classes, describe))
    if not files:
        raise DataError(f"data.root: got the folder {printable(root)!r} without a picture with a mask in {pair[0]!r}.")
    return MaskFolder(files, classes, sha256, ignored)


def with_mask(
    record: FileRecord, mask: str, classes: Sequence[str], describe: Callable[[FileRecord], FileRecord]
) -> FileRecord:
    """Returns a described record with its mask, a path relative to the root; its size and time are those of both."""
    record = describe(record)
    if record.reason:
        return record
    of_mask = describe(FileRecord(mask, ()))
    if of_mask.reason:
        return record.without(FileProblem(*_of_mask(mask, of_mask.reason, of_mask.detail or "")))
    return dataclasses.replace(
        record,
        mask=mask,
        mask_classes=tuple(classes),
        size=record.size + of_mask.size,
        mtime_ns=max(record.mtime_ns, of_mask.mtime_ns),
    )


def read_mask(root: str, record: FileRecord, picture: bytes | None = None) -> tuple[tuple[str, ...], bytes]:
    """Returns the classes in the mask of a record, sorted, and the mask as `transforms.masks` has it.

    Args:
        root: Of the data.
        record: With a mask.
        picture: Bytes of a usable picture, whose size is to be the mask's; None where that was seen before.

    Raises:
        FileProblem: It cannot be read, is of another size, or has values that are no class.
    """
    assert record.mask is not None, "the record has a mask"
    size = None if picture is None else upright_size(picture)
    try:
        return _canonical(read_file(os.path.join(root, record.mask)), record.mask_classes, size)
    except FileProblem as problem:
        raise FileProblem(*_of_mask(record.mask, problem.reason, problem.detail)) from None


def _canonical(
    data: bytes, classes: Sequence[str], expected_size: tuple[int, int] | None
) -> tuple[tuple[str, ...], bytes]:
    if not data.startswith(_MAGIC):
        raise FileProblem("not a mask", "expected a PNG file, which keeps values as they are")
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            mode = picture.mode
            if expected_size not in (None, picture.size):
                raise FileProblem("another size", _sizes(picture.size, expected_size))
            values = np.array(picture) if mode in _MODES else None
    except FileProblem:
        raise
    except Exception as error:  # Pillow's decoders raise almost anything on damaged data.
        raise FileProblem("damaged mask", f"it cannot be decoded: {error}") from None
    if values is None:
        raise FileProblem(
            "not a mask",
            f"its pixels are {mode}; expected a PNG file with a palette, or of 8-bit grey, whose values are the "
            "numbers of classes",
        )
    mask = values.astype(np.uint8)
    there = [value for value in np.unique(mask).tolist() if value != VOID]
    unknown = [value for value in there if value >= len(classes) or not classes[value]]
    if unknown:
        raise FileProblem(
            "unknown class",
            f"it has the value {unknown[0]}, {int((mask == unknown[0]).sum()):,} pixels of it; {CLASSES_FILE} names "
            f"{len([name for name in classes if name])} values up to {len(classes) - 1}, and {VOID} is void",
        )
    if not there:
        raise FileProblem("all void", f"every pixel is {VOID}: there is nothing to learn")
    names = tuple(sorted(classes[value] for value in there))
    places = np.full(VOID + 1, VOID, np.uint8)
    for value in there:
        places[value] = names.index(classes[value])
    return names, to_png(places[mask])


def _of_mask(mask: str, reason: str, detail: str) -> tuple[str, str]:
    """Says of a problem that it is the mask's."""
    named = reason if "mask" in reason else f"mask: {reason}"
    return named, f"mask {printable(mask)}: {detail}"


def _sizes(mask: tuple[int, int], picture: tuple[int, int] | None) -> str:
    assert picture is not None, "as was just seen"
    return (
        f"got {mask[0]} x {mask[1]} pixels, and the picture has {picture[0]} x {picture[1]} (a JPEG as its EXIF "
        "orientation turns it)"
    )
