"""Whether bytes are a picture that training and serving can decode."""

from __future__ import annotations

import codecs
import io
import warnings

import numpy as np
import PIL
from PIL import Image, ImageFile, UnidentifiedImageError

from components.example_gen.files import FileProblem
from components.example_gen.settings import IngestSettings
from transforms import features

JPEG = b"\xff\xd8\xff"
# First bytes -> Pillow's name of the format, and the mark that a complete file has near its end.
USABLE = {
    JPEG: ("JPEG", b"\xff\xd9"),
    b"\x89PNG\r\n\x1a\n": ("PNG", b"IEND"),
    b"GIF87a": ("GIF", b";"),
    b"GIF89a": ("GIF", b";"),
    b"BM": ("BMP", b""),
}
# (offset, bytes at it, what it is); the first match counts.
UNSUPPORTED = (
    (8, b"WEBP", "a WebP picture"),
    (0, b"II*\0", "a TIFF picture"),
    (0, b"MM\0*", "a TIFF picture"),
    (0, b"II+\0", "a TIFF picture"),
    (0, b"MM\0+", "a TIFF picture"),
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftypavis", "an AVIF picture"),
    (4, b"ftyphei", "a HEIC picture"),
    (4, b"ftyphev", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIC picture"),
    (4, b"ftypmsf1", "a HEIC picture"),
    (4, b"jP  \r\n\x87\n", "a JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\0\0\x01\0", "an icon"),
)
NOT_IMAGES = (
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive or an office document"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive"),
    (0, b"Rar!", "a RAR archive"),
    (4, b"ftyp", "a video"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89HDF", "an HDF5 file"),
)


class PictureFiles:
    """Pictures, which go on as they are."""

    feature = features.IMAGE

    def check(self, data: bytes, settings: IngestSettings) -> None:
        """See `check_image`."""
        check_image(data, settings.max_pixels)

    def content(self, data: bytes) -> bytes:
        """Returns the bytes."""
        return data

    def judged_by(self, settings: IngestSettings) -> str:
        """Names the decoders, and what counts as too large."""
        import tensorflow as tf

        return f"Pillow {PIL.__version__}, TensorFlow {tf.__version__}, at most {settings.max_pixels} pixels"


def check_image(data: bytes, max_pixels: int) -> None:
    """Decides whether training and serving can use `data`; the format is told by content, not by name.

    Args:
        data: The file's bytes; JPEG, PNG, BMP or GIF (its first picture counts) are usable.
        max_pixels: A picture with more (width x height) is refused from its header, without decoding it.

    Raises:
        FileProblem: It is not a picture, of another format, too large, cut short, damaged, or nothing that TensorFlow
            decodes.
    """
    if not data.startswith(JPEG):
        check_with_pillow(data, max_pixels)
        check_with_tensorflow(data)
        return
    # What TensorFlow decodes of a JPEG with a sound header, Pillow decodes too: one of them is enough.
    check_with_pillow(data, max_pixels, decode=False)
    try:
        check_with_tensorflow(data)
    except FileProblem:
        check_with_pillow(data, max_pixels)  # Says more exactly what is the matter, if it does not like it either.
        raise


def check_with_pillow(data: bytes, max_pixels: int, decode: bool = True) -> None:
    """Decides with Pillow whether `data` is a complete picture, or at least begins as one.

    Args:
        data: As in `check_image`.
        max_pixels: As in `check_image`.
        decode: Whether to look at all of it; at its header alone otherwise.

    Raises:
        FileProblem: It is not a picture, of another format, too large, cut short or damaged.
    """
    magic = next((magic for magic in USABLE if data.startswith(magic)), None)
    if magic is None or _is_text(data):
        raise _unusable_format(data)
    name, end_mark = USABLE[magic]
    # `max_pixels` takes the place of Pillow's own limit, which would hide the size of the picture.
    Image.MAX_IMAGE_PIXELS = None
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            # Such as odd EXIF data, which does not make a picture unusable.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=[name]) as picture:
                width, height = picture.size
                if width * height > max_pixels:
                    raise FileProblem(
                        "too large",
                        f"{width} x {height} pixels; expected at most {max_pixels:,}. Make it smaller, or raise "
                        "data.max_pixels",
                    )
                if decode:
                    picture.load()
    except FileProblem:
        raise
    except Exception as error:  # Pillow's decoders raise almost anything on damaged data.
        cut_short = "truncated" in str(error).lower() or end_mark not in data[-64:]
        if cut_short:
            raise FileProblem("truncated", f"the {name} ends too early; copy it again from its source") from None
        cause = "its header makes no sense" if isinstance(error, UnidentifiedImageError) else str(error)
        raise FileProblem("damaged", f"it starts like a {name} and cannot be decoded: {cause}") from None


def check_with_tensorflow(data: bytes) -> None:
    """Decides with TensorFlow's own decoder, the one that training and serving run, whether `data` is usable.

    Args:
        data: Bytes that `check_with_pillow` accepts; of a JPEG, those of which it accepts the header.

    Raises:
        FileProblem: TensorFlow cannot decode it, or decodes something else, as it does for a BMP with a palette.
    """
    import tensorflow as tf

    from transforms.image import decode_as_stored, decode_jpeg

    try:
        # As it is stored: reading the orientation op by op takes several times as long as decoding.
        pixels = (decode_jpeg if data.startswith(JPEG) else decode_as_stored)(tf.constant(data)).numpy()
    except tf.errors.OpError as error:
        cause = error.message.split("}} ")[-1].split(" [Op:")[0]
        raise FileProblem(
            "unsupported format",
            f"a variant that TensorFlow cannot decode ({cause}); convert it to an ordinary PNG or JPEG",
        ) from None
    if data.startswith(b"BM"):
        # TensorFlow takes palette indices and packed rows for brightness, without an error.
        with Image.open(io.BytesIO(data)) as picture:
            same = np.array_equal(pixels, np.asarray(picture.convert("RGB")))
        if not same:
            raise FileProblem(
                "unsupported format",
                "a BMP that TensorFlow would decode to wrong colours (such as one with a palette); convert it to an "
                "ordinary PNG or JPEG",
            )


def _unusable_format(data: bytes) -> FileProblem:
    for offset, mark, name in UNSUPPORTED:
        if data.startswith(mark, offset):
            return FileProblem(
                "unsupported format",
                f"{name}; expected JPEG, PNG, BMP or GIF. Convert it, for example with Pillow: "
                "Image.open(old).convert('RGB').save('new.png')",
            )
    name = next((name for offset, mark, name in NOT_IMAGES if data.startswith(mark, offset)), None) or _text_kind(data)
    return FileProblem("not an image", f"it looks like {name}; remove it, or copy the picture again from its source")


def _text_kind(data: bytes) -> str:
    head = data[:512].lstrip().lower()
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer (run `git lfs pull`)"
    if b"<svg" in head:
        return "an SVG drawing"
    if head.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    return "text" if _is_text(data) else "binary data of no known format"


def _is_text(data: bytes) -> bool:
    head = data[:4096]
    try:
        # An incremental decoder does not mind a character that is cut at the end.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return b"\0" not in head
