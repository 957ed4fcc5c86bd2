"""Thousands of odd files, the same for a seed: every format, EXIF of every kind, and what befalls files on the way."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

Random = np.random.Generator


@dataclass(frozen=True)
class OddFile:
    """A file's bytes, and what was done to it: `format variant, mishap`."""

    kind: str
    data: bytes


def odd_files(count: int, seed: int = 0) -> Iterator[OddFile]:
    """Yields `count` files; a larger count begins with the files of a smaller one."""
    pairs = [(variant, mishap) for mishap in MISHAPS for variant in VARIANTS]
    # A stride that has no factor in common with their number visits all of them, each format early.
    stride = next(step for step in range(len(pairs) // 3, 0, -1) if np.gcd(step, len(pairs)) == 1)
    for number in range(count):
        variant, mishap = pairs[number * stride % len(pairs)]
        random = np.random.default_rng([seed, number])
        yield OddFile(f"{variant}, {mishap}", MISHAPS[mishap](VARIANTS[variant](random), random))


def _pixels(random: Random, smooth: bool) -> Image.Image:
    """A picture of 1 to 64 pixels a side: noise, or clouds that compress as photographs do."""
    width, height = (int(side) for side in random.integers(1, 65, 2))
    cells = (4, 4) if smooth else (height, width)
    picture = Image.fromarray(random.integers(0, 256, (*cells, 3), np.uint8))
    return picture.resize((width, height), Image.Resampling.BILINEAR)


def _saved(format: str, mode: str, **options: object) -> Callable[[Random], bytes]:
    def make(random: Random) -> bytes:
        picture = _pixels(random, smooth=bool(random.integers(2)))
        picture = picture.convert("L").convert(mode) if mode.startswith("I;16") else picture.convert(mode)
        buffer = io.BytesIO()
        picture.save(buffer, format, **options)
        return buffer.getvalue()

    return make


def _animated(format: str) -> Callable[[Random], bytes]:
    def make(random: Random) -> bytes:
        first = _pixels(random, smooth=True)
        frames = [Image.fromarray(random.integers(0, 256, (first.height, first.width, 3), np.uint8)) for _ in range(2)]
        buffer = io.BytesIO()
        first.save(buffer, format, save_all=True, append_images=frames)
        return buffer.getvalue()

    return make


def _with_exif(make_exif: Callable[[Random], bytes]) -> Callable[[Random], bytes]:
    """A JPEG with an APP1 segment of these bytes behind its first marker."""

    def make(random: Random) -> bytes:
        data, body = _saved("JPEG", "RGB")(random), b"Exif\0\0" + make_exif(random)
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]

    return make


def _orientation(order: str, value: int, kind: int = 3, count: int = 1, first: int = 8) -> bytes:
    """A TIFF header and one entry that says how a picture is to be turned."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHIHH", 0x112, kind, count, value, 0)
    return mark + struct.pack(order + "IH", first, 1) + entry + bytes(4)


def _png(width: int, height: int, depth: int, colour: int, rows: bytes, interlace: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, body) for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _odd_bmp(bits: int, compression: int = 0, top_down: bool = False) -> Callable[[Random], bytes]:
    def make(random: Random) -> bytes:
        width, height = (int(side) for side in random.integers(1, 20, 2))
        palette = random.bytes(4 * 2**bits) if bits <= 8 else b""
        pixels = random.bytes((width * bits + 31) // 32 * 4 * height)
        start = 54 + len(palette)
        header = struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start)
        rows = -height if top_down else height
        return (
            header
            + struct.pack("<IiiHHIIiiII", 40, width, rows, 1, bits, compression, len(pixels), 0, 0, 0, 0)
            + palette
            + pixels
        )

    return make


VARIANTS: dict[str, Callable[[Random], bytes]] = {
    **{f"JPEG {mode}": _saved("JPEG", mode) for mode in ("RGB", "L", "CMYK")},
    "JPEG progressive": _saved("JPEG", "RGB", progressive=True),
    "JPEG 4:4:4 best": _saved("JPEG", "RGB", quality=100, subsampling=0),
    "JPEG restarts": _saved("JPEG", "RGB", restart_marker_blocks=1),
    "JPEG progressive CMYK": _saved("JPEG", "CMYK", progressive=True, quality=30),
    "JPEG stored as RGB": _saved("JPEG", "RGB", keep_rgb=True),
    **{f"JPEG orientation {n}": _with_exif(lambda random, n=n: _orientation("<>"[n % 2], n)) for n in range(10)},
    "JPEG orientation 6 of LONG": _with_exif(lambda random: _orientation(">", 0, kind=4) + b"\0\6"),
    "JPEG orientation of bytes": _with_exif(lambda random: _orientation("<", 6, kind=1, count=2)),
    "JPEG orientation of many": _with_exif(lambda random: _orientation("<", 6, count=0x7FFFFFFF)),
    "JPEG EXIF that points outside": _with_exif(lambda random: _orientation("<", 6, first=0x7FFFFFF0)),
    "JPEG EXIF that points at itself": _with_exif(lambda random: _orientation("<", 6, first=0)),
    "JPEG EXIF of noise": _with_exif(lambda random: random.bytes(int(random.integers(0, 200)))),
    "JPEG EXIF that is cut": _with_exif(lambda random: _orientation(">", 6)[: int(random.integers(0, 26))]),
    **{f"PNG {mode}": _saved("PNG", mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")},
    "PNG transparent palette": _saved("PNG", "P", transparency=0),
    "PNG animated": _animated("PNG"),
    "PNG 16-bit colour": lambda random: _png(5, 4, 16, 2, b"".join(b"\0" + random.bytes(30) for _ in range(4))),
    "PNG 2-bit grey": lambda random: _png(7, 3, 2, 0, b"".join(b"\0" + random.bytes(2) for _ in range(3))),
    "PNG interlaced": lambda random: _png(1, 1, 8, 2, b"\0" + random.bytes(3), interlace=1),
    "PNG palette that is missing": lambda random: _png(4, 4, 8, 3, b"\0\1\2\3\4" * 4),
    "PNG too few rows": lambda random: _png(9, 9, 8, 2, b"\0" + random.bytes(27)),
    "PNG unknown filter": lambda random: _png(4, 2, 8, 0, b"\7abcd" * 2),
    "PNG huge": lambda random: _png(60_000, 60_000, 8, 2, bytes(1000)),
    "PNG of no size": lambda random: _png(0, int(random.integers(0, 9)), 8, 2, b""),
    "GIF P": _saved("GIF", "P"),
    "GIF L": _saved("GIF", "L", interlace=0),
    "GIF animated": _animated("GIF"),
    "BMP RGB": _saved("BMP", "RGB"),
    "BMP L": _saved("BMP", "L"),
    "BMP P": _saved("BMP", "P"),
    "BMP 1": _saved("BMP", "1"),
    "BMP RGBA": _saved("BMP", "RGBA"),
    "BMP 16-bit": _odd_bmp(16),
    "BMP 4-bit": _odd_bmp(4),
    "BMP run lengths": _odd_bmp(8, compression=1),
    "BMP top down": _odd_bmp(24, top_down=True),
    "BMP 32-bit top down": _odd_bmp(32, top_down=True),
    **{format: _saved(format, "RGB") for format in ("WEBP", "TIFF", "ICO", "PPM", "TGA", "JPEG2000")},
    "text": lambda random: b"caption of a picture\n" * int(random.integers(1, 99)),
    "noise": lambda random: random.bytes(int(random.integers(1, 500))),
    "web page": lambda random: b"<!DOCTYPE html><html>404</html>",
}


def _place(data: bytes, random: Random) -> int:
    return int(random.integers(0, max(1, len(data))))


def _flipped(data: bytes, random: Random, number: int, first: float = 0.0) -> bytes:
    changed = bytearray(data)
    for _ in range(number):
        place = int((first + (1 - first) * random.random()) * len(changed))
        changed[place] ^= int(random.integers(1, 256))
    return bytes(changed)


def _moved(data: bytes, random: Random) -> bytes:
    """A stretch is put elsewhere, as by a file system that lost track of its blocks."""
    start, end, to = sorted(_place(data, random) for _ in range(3))
    return data[:start] + data[end:to] + data[start:end] + data[to:]


def _zeroed(data: bytes, random: Random) -> bytes:
    place = _place(data, random)
    return data[:place] + bytes(len(data) - place)


def _without(data: bytes, random: Random) -> bytes:
    place = _place(data, random)
    return data[:place] + data[place + int(random.integers(1, 40)) :]


def _with_more(data: bytes, random: Random) -> bytes:
    place = _place(data, random)
    return data[:place] + random.bytes(int(random.integers(1, 40))) + data[place:]


def _segment_lost(data: bytes, random: Random) -> bytes:
    """One JPEG marker segment or PNG chunk is gone."""
    marks = [place for place in range(2, len(data) - 4) if data[place] == 0xFF and 0xC0 <= data[place + 1] <= 0xFE]
    if data.startswith(b"\x89PNG"):
        marks = [place - 4 for kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND") if (place := data.find(kind)) > 0]
    if not marks:
        return data
    place = marks[int(random.integers(0, len(marks)))]
    long = data.startswith(b"\x89PNG")
    length = (
        struct.unpack(">I", data[place : place + 4])[0] + 12
        if long
        else struct.unpack(">H", data[place + 2 : place + 4])[0] + 2
    )
    return data[:place] + data[place + length :]


def _larger_on_paper(data: bytes, random: Random) -> bytes:
    """The header says another width and height, with the right checksum."""
    width, height = (int(side) for side in random.choice([0, 1, 7, 65, 300, 30_000, 65_535], 2))
    if data.startswith(b"\x89PNG"):
        return data[:8] + _chunk(b"IHDR", struct.pack(">II", width, height) + data[24:29]) + data[33:]
    if data.startswith(b"GIF"):
        return data[:6] + struct.pack("<HH", width, height) + data[10:]
    if data.startswith(b"BM"):
        return data[:18] + struct.pack("<ii", width, height) + data[26:]
    place = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    return data if place < 0 else data[: place + 5] + struct.pack(">HH", height, width) + data[place + 9 :]


def _other_depth(data: bytes, random: Random) -> bytes:
    """Bits a sample, number of components or kind of coding are changed where the header says them."""
    if data.startswith(b"\x89PNG"):
        changed = bytearray(data[16:29])
        changed[int(random.choice([8, 9, 12]))] = int(random.integers(0, 17))
        return data[:8] + _chunk(b"IHDR", bytes(changed)) + data[33:]
    place = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    if place < 0:
        return _flipped(data[:30], random, 1) + data[30:]
    changed = bytearray(data)
    if random.integers(2):
        changed[place + 1] = int(random.choice([0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA]))
    else:
        changed[place + int(random.choice([4, 9, 11, 14]))] = int(random.choice([0, 1, 2, 4, 8, 12, 0x11, 0x21, 0x44]))
    return bytes(changed)


def _renamed(data: bytes, random: Random) -> bytes:
    """The first bytes are those of another format."""
    magic = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"RIFF\1\0\0\0WEBP", b"%PDF-1.7")
    new = magic[int(random.integers(0, len(magic)))]
    return new + data[len(new) :]


MISHAPS: dict[str, Callable[[bytes, Random], bytes]] = {
    "as it is": lambda data, random: data,
    "cut": lambda data, random: data[: _place(data, random)],
    "last bytes cut": lambda data, random: data[: -int(random.integers(1, 16))],
    "one byte changed": lambda data, random: _flipped(data, random, 1),
    "bytes changed": lambda data, random: _flipped(data, random, 8),
    "a byte of its second half changed": lambda data, random: _flipped(data, random, 1, first=0.5),
    "bytes of its end changed": lambda data, random: _flipped(data, random, 3, first=0.9),
    "bytes lost": _without,
    "bytes added": _with_more,
    "bytes behind it": lambda data, random: data + random.bytes(int(random.integers(1, 100))),
    "twice": lambda data, random: data + data,
    "end of zeros": _zeroed,
    "moved": _moved,
    "segment lost": _segment_lost,
    "other size on paper": _larger_on_paper,
    "other depth on paper": _other_depth,
    "start of another format": _renamed,
    "line ends changed": lambda data, random: data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
}
