"""Which bytes are usable pictures, and what is said about the others."""

import io
import struct
import zlib

import pytest
from PIL import Image, ImageFile

from components.example_gen.files import FileProblem
from components.example_gen.images import check_with_pillow


def problem_of(data: bytes, max_pixels: int = 10_000) -> FileProblem:
    with pytest.raises(FileProblem) as caught:
        check_with_pillow(data, max_pixels)
    return caught.value


@pytest.mark.parametrize(
    ("format", "mode"),
    [
        *[("JPEG", mode) for mode in ("RGB", "L", "CMYK")],
        *[("PNG", mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")],
        ("BMP", "RGB"),
        ("GIF", "P"),
    ],
)
@pytest.mark.parametrize("size", [(8, 6), (1, 1)])
def test_usable_formats(picture, format, mode, size):
    check_with_pillow(picture(format=format, mode=mode, size=size), max_pixels=48)


def test_animated_gif(picture):
    frames = [Image.open(io.BytesIO(picture(seed))) for seed in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    check_with_pillow(buffer.getvalue(), max_pixels=48)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP"])
@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_truncated(picture, format, keep, monkeypatch):
    data = picture(format=format, size=(60, 60))
    # Another library in the process may have switched this on.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    problem = problem_of(data[: int(len(data) * keep)])
    assert problem.reason == "truncated"
    assert format in problem.detail


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF"])
def test_truncated_in_the_header(picture, format):
    assert problem_of(picture(format=format)[:20]).reason == "truncated"


def test_damaged_in_the_middle(picture):
    data = bytearray(picture(size=(40, 40)))
    data[len(data) // 2] ^= 0xFF
    assert problem_of(bytes(data)).reason == "damaged"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"notes about the pictures\n" * 10, "text"),
        ("größer ".encode() * 1000, "text"),
        (b"BMW 320, red, 1998", "text"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b'<?xml version="1.0"?><svg xmlns="..."/>', "SVG"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12", "git lfs pull"),
        (b"%PDF-1.7 \xff\xff", "PDF"),
        (b"PK\x03\x04\x00\x00", "ZIP"),
        (b"\0\0\0\x18ftypisom\0\0", "video"),
        (bytes(range(256)), "binary data"),
    ],
)
def test_not_an_image(data, says):
    problem = problem_of(data)
    assert problem.reason == "not an image"
    assert says in problem.detail


@pytest.mark.parametrize(("format", "says"), [("WEBP", "WebP"), ("TIFF", "TIFF"), ("ICO", "icon")])
def test_unsupported_formats_are_named(picture, format, says):
    problem = problem_of(picture(format=format, size=(16, 16)))
    assert problem.reason == "unsupported format"
    assert says in problem.detail
    assert "Convert" in problem.detail


def test_heic_is_named():
    assert "HEIC" in problem_of(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").detail


def test_decompression_bomb_is_refused_from_its_header(monkeypatch):
    """A PNG that claims 60,000 x 60,000 pixels is refused without decoding any."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = b""
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    problem = problem_of(b"\x89PNG\r\n\x1a\n" + chunks)
    assert problem.reason == "too large"
    assert "60000 x 60000" in problem.detail
    assert "max_pixels" in problem.detail


def test_max_pixels_is_inclusive(picture):
    data = picture(size=(10, 10))
    check_with_pillow(data, max_pixels=100)
    assert problem_of(data, max_pixels=99).reason == "too large"
