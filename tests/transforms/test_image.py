"""Decoding, resizing and scaling: against Pillow, and against each family's own preprocessing."""

from __future__ import annotations

import importlib
import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from trainer_module.backbones.sources import SOURCES

tf = pytest.importorskip("tensorflow")
image = importlib.import_module("transforms.image")
exif = importlib.import_module("transforms.exif")


def encode(pixels: np.ndarray, mode: str, file_format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(
        buffer, file_format, **({"quality": 100} if file_format == "JPEG" else {})
    )
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """A smooth coloured picture, uint8 [40, 60, 3]."""
    y, x = np.mgrid[0:40, 0:60]
    return np.stack([x * 4, y * 6, (x + y) * 2], axis=-1).astype(np.uint8)


@pytest.mark.parametrize(
    ("mode", "file_format", "tolerance"),
    [
        ("RGB", "PNG", 0),
        ("L", "PNG", 0),
        ("RGBA", "PNG", 0),
        ("P", "PNG", 0),
        ("RGB", "BMP", 0),
        ("RGB", "GIF", 0),
        ("RGB", "JPEG", 0),
        ("L", "JPEG", 0),
        ("CMYK", "JPEG", 4),
    ],
)
def test_decoding_agrees_with_pillow(pixels, mode, file_format, tolerance):
    encoded = encode(pixels, mode, file_format)
    decoded = image.decode(tf.constant(encoded)).numpy()
    with Image.open(io.BytesIO(encoded)) as reference:
        expected = np.asarray(reference.convert("RGB"), np.int16)
    assert decoded.shape == (40, 60, 3)
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(np.int16) - expected).max() <= tolerance


def with_orientation(pixels: np.ndarray, turned: int, byte_order: str = "II") -> bytes:
    """A JPEG with EXIF data, behind a comment and other tags."""
    data = Image.Exif()
    data.endian = {"II": "<", "MM": ">"}[byte_order]
    data[0x010F], data[0x0112], data[0x0131] = "a camera with a long name", turned, "software"
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels)
    picture.save(buffer, "JPEG", quality=100, exif=data.tobytes(), comment=b"\xff\xe1 no segment" * 9)
    return buffer.getvalue()


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("byte_order", ["II", "MM"])
def test_a_turned_picture_is_put_upright_as_pillow_does(pixels, turned, byte_order):
    encoded = with_orientation(pixels, turned, byte_order)
    with Image.open(io.BytesIO(encoded)) as opened:
        assert opened.getexif()[0x0112] == turned
        expected = np.asarray(ImageOps.exif_transpose(opened))
    np.testing.assert_array_equal(image.decode(tf.constant(encoded)), expected)


def test_exif_data_that_make_no_sense_leave_a_picture_as_it_is(pixels):
    encoded = with_orientation(pixels, 6)
    start = encoded.index(b"Exif\0\0") + 6
    upright = np.asarray(Image.open(io.BytesIO(encoded)))
    assert exif.orientation(tf.constant(encoded)) == 6
    for damaged in (
        encoded[: start + 4] + b"\xff\xff\xff\x7f" + encoded[start + 8 :],  # the directory lies beyond the end
        encoded[:start] + bytes(8) + encoded[start + 8 :],
        with_orientation(pixels, 99),
        encode(pixels, "RGB", "JPEG"),
    ):
        assert exif.orientation(tf.constant(damaged)) == 1
        assert image.decode(tf.constant(damaged)).shape == upright.shape
    for cut in (b"", b"\xff\xd8", b"\xff\xd8\xff\xe1", encoded[: start + 3], encoded[: start + 9]):
        assert exif.orientation(tf.constant(cut)) == 1


@pytest.mark.parametrize("size", [16, 32, 96])
def test_resizing_agrees_with_pillow(pixels, size):
    resized = image.resize(tf.constant(pixels), size).numpy()
    expected = np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR), np.int16)
    assert np.abs(resized.astype(np.int16) - expected).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 7)])
def test_pictures_of_any_shape_are_resized(shape):
    picture = np.full((*shape, 3), 77, np.uint8)
    assert (image.resize(tf.constant(picture), 8).numpy() == 77).all()


def test_a_batch_survives_serialisation(pixels):
    encoded = tf.constant([encode(pixels, "RGB", "PNG"), encode(pixels[::2], "L", "PNG")])
    serialised = image.decode_and_resize(encoded, 24)
    for i in range(2):
        expected = image.resize(image.decode(encoded[i]), 24)
        np.testing.assert_array_equal(image.parse_pixels(serialised[i], 24), expected)
        assert len(serialised[i].numpy()) < 24 * 24 * 3 + 64


@pytest.mark.parametrize("data", [b"", b"not an image", b"\xff\xd8\xff\xe0 cut short"])
def test_what_is_no_picture_is_an_error(data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        image.decode(tf.constant(data))


@pytest.mark.parametrize("name", SOURCES["Keras applications"].records)
def test_scaling_equals_the_familys_own_preprocessing(name):
    record = SOURCES["Keras applications"].records[name]
    family = importlib.import_module(f"tf_keras.applications.{record.family}")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3)).astype(np.uint8)
    expected = family.preprocess_input(pixels.astype(np.float32))
    np.testing.assert_allclose(image.scale(tf.constant(pixels), record.scaling), expected, rtol=0, atol=1e-5)


def test_an_unknown_scaling_is_an_error():
    with pytest.raises(ValueError, match="got 'half'"):
        image.scale(tf.zeros([1, 1, 3]), "half")
