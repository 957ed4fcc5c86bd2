"""Files and boxes from a folder of XML files as Pascal VOC has them, brought into COCO's lists.

The format is that of http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html, and of the tools that
write it: one file a picture, with `filename`, `size` and an `object` for each box, whose pixels count from 1 on.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from typing import Any
from xml.etree import ElementTree

from components.example_gen.files import FileProblem, FileRecord, list_folder, printable, read_file
from finetune.errors import DataError

EXTENSION = ".xml"
# Where VOC has pictures, beside the folder of its annotations.
PICTURES = "JPEGImages"


def is_voc(root: str, manifest: str) -> bool:
    """Tells whether a manifest is read as VOC has it: where it is a folder."""
    parent, name = posixpath.split(posixpath.normpath(manifest))
    try:
        return (name, True) in list_folder(os.path.join(root, parent))
    except (OSError, ValueError):
        return False


class VocFolder:
    """What the XML files of a folder say.

    Attributes:
        lists: `images`, `categories` and `annotations` in COCO's form; ids are the names of the XML files.
        unread: A record, with what is wrong, of each file that is not VOC's format.
        sha256: Hex digest over all files.
    """

    def __init__(self, root: str, manifest: str):
        """Reads them in the order of their names.

        Raises:
            DataError: There is none.
        """
        folder = posixpath.normpath(manifest)
        beside = posixpath.dirname(folder)
        names = [name for name, is_folder in list_folder(os.path.join(root, folder)) if not is_folder]
        names = [name for name in names if name.lower().endswith(EXTENSION)]
        if not names:
            raise DataError(
                f"data.manifest: got {manifest!r}, a folder without any file that ends in {EXTENSION}; expected one a "
                "picture, as Pascal VOC has them, or a CSV or JSON file."
            )
        has_pictures = (PICTURES, True) in list_folder(os.path.join(root, beside))
        self._pictures = posixpath.join(beside, PICTURES) if has_pictures else beside
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self.unread: list[FileRecord] = []
        digest = hashlib.sha256()
        for name in names:
            path = posixpath.join(folder, name)
            try:
                content = read_file(os.path.join(root, path))
                digest.update(hashlib.sha256(content).digest())
                self._add(name, content)
            except FileProblem as problem:
                self.unread.append(FileRecord(path, ()).without(problem))
        self.sha256 = digest.hexdigest()

    @property
    def lists(self) -> list[list[dict[str, Any]]]:
        """Returns them."""
        names = sorted({each["category_id"] for each in self._annotations})
        return [self._images, [{"id": name, "name": name} for name in names], self._annotations]

    def _add(self, name: str, content: bytes) -> None:
        try:
            annotation = ElementTree.fromstring(content)
        except ElementTree.ParseError as error:
            raise FileProblem("bad annotation", f"it is not valid XML: {error}") from None
        picture = _text(annotation, "filename")
        if annotation.tag != "annotation" or not picture:
            raise FileProblem(
                "bad annotation", f"got <{printable(annotation.tag)}>; expected <annotation> with a <filename> in it"
            )
        image: dict[str, Any] = {"id": name, "file_name": posixpath.join(self._pictures, picture)}
        for side in ("width", "height"):
            pixels = _text(annotation, f"size/{side}")
            if pixels.isdecimal():
                image[side] = int(pixels)
        for number, each in enumerate(annotation.findall("object")):
            one: dict[str, Any] = {"id": f"{name}:{number}", "image_id": name, "category_id": _text(each, "name")}
            left, top, right, bottom = (
                _number(_text(each, f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax")
            )
            # The first pixel and the last are both of the object.
            one["bbox"] = [left - 1, top - 1, right - left + 1, bottom - top + 1]
            # VOC leaves difficult objects out of what is counted.
            one["iscrowd"] = int(_text(each, "difficult") == "1")
            self._annotations.append(one)
        self._images.append(image)


def _text(element: ElementTree.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _number(text: str) -> float:
    """Returns NaN for what is no number, as a box that is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
