"""Which files of sound are usable, and how each becomes a WAV file that TensorFlow's own operation reads."""

from __future__ import annotations

import io
import struct
import wave

import numpy as np

from components.example_gen.files import MAX_FILE_BYTES, FileProblem
from components.example_gen.images import NOT_IMAGES
from components.example_gen.settings import IngestSettings
from transforms import features

EXPECTED = "expected WAV, FLAC or OGG. Convert it, for example: ffmpeg -i OLD new.wav"
# First bytes of what is usable.
USABLE = (b"RIFF", b"RF64", b"fLaC", b"OggS")
# (offset, bytes at it, what it is); the first match counts.
UNSUPPORTED = (
    (0, b"ID3", "an MP3 file"),
    (0, b"\xff\xfb", "an MP3 file"),
    (0, b"\xff\xf3", "an MP3 file"),
    (0, b"\xff\xf2", "an MP3 file"),
    (0, b"\xff\xf1", "an AAC file"),
    (0, b"\xff\xf9", "an AAC file"),
    (4, b"ftypM4A", "an M4A file"),
    (0, b"FORM", "an AIFF file"),
    (0, b".snd", "an AU file"),
    (0, b"caff", "a CAF file"),
    (0, b"MThd", "a MIDI file"),
    (0, b"#!AMR", "an AMR file"),
    (0, b"\x30\x26\xb2\x75", "a WMA file"),
)
# Samples in a second: of telephones that save bytes, and of the finest recorders that there are.
LEAST_RATE, MOST_RATE = 1_000, 384_000
_FULL_SCALE = 32768
# Sizes of a WAV file that was written before its end was known.
_UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0xFFFFFFFF)
# Of the header of an Ogg page (RFC 3533, section 6): its length up to the lengths of its parts, where its kind is, and
# the bit that says that it is the last.
_PAGE_HEADER, _KIND_OF_PAGE, _LAST_PAGE = 27, 5, 4


class SoundFiles:
    """Sounds, which go on as WAV files with 16 bits a sample, of the same rate and channels."""

    feature = features.AUDIO

    def check(self, data: bytes, settings: IngestSettings) -> None:
        """See `check_sound`."""
        check_sound(data, settings.max_seconds)

    def content(self, data: bytes) -> bytes:
        """See `to_wav`."""
        return to_wav(data)

    def judged_by(self, settings: IngestSettings) -> str:
        """Names the decoder, and what counts as too long."""
        import soundfile

        return (
            f"soundfile {soundfile.__version__}, {soundfile.__libsndfile_version__}, at most {settings.max_seconds} s"
        )


def check_sound(data: bytes, max_seconds: float) -> None:
    """Decides by headers, without decoding, whether `data` is a sound; its format is told by content, not by name.

    Args:
        data: The file's bytes; WAV, FLAC and OGG are usable, with samples of any width, whole or floating.
        max_seconds: A longer sound is refused.

    Raises:
        FileProblem: It is no sound, of another format, without any sample, of an odd rate, too long, or cut short.
    """
    import soundfile

    if not data.startswith(USABLE) or (data.startswith(b"RIFF") and data[8:12] != b"WAVE"):
        raise _unusable_format(data)
    if _ends_early(data):
        raise FileProblem("truncated", "the file ends too early; copy it again from its source")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            frames, rate, channels = sound.frames, sound.samplerate, sound.channels
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
        raise _damaged(error) from None
    if not LEAST_RATE <= rate <= MOST_RATE:
        raise FileProblem("wrong rate", f"{rate:,} samples a second; expected {LEAST_RATE:,} to {MOST_RATE:,}")
    if frames <= 0:
        raise FileProblem("empty sound", "it has a header and no sample; copy it again from its source")
    if frames / rate > max_seconds:
        raise FileProblem(
            "too long",
            f"{frames / rate:.4g} seconds; expected at most {max_seconds:g}. Cut it, or raise data.max_seconds",
        )
    if 2 * frames * channels >= MAX_FILE_BYTES:
        raise FileProblem("too large", f"{channels} channels with {frames:,} samples each; mix it down to one")


def to_wav(data: bytes) -> bytes:
    """Decodes a sound that `check_sound` accepts, and writes it as a WAV file with 16 bits a sample.

    Samples of 16 bits stay as they are, others are rounded to them; floats beyond [-1, 1] are made quieter, all alike,
    so that none is cut off.

    Raises:
        FileProblem: It cannot be decoded to its end, is silent throughout, or has samples that are no numbers.
    """
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            rate, frames = sound.samplerate, sound.frames
            samples = sound.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
        raise _damaged(error) from None
    if len(samples) < frames:
        raise FileProblem("truncated", f"it has {len(samples):,} of {frames:,} samples; copy it again from its source")
    peak = float(np.abs(samples).max())
    if not np.isfinite(peak):
        raise FileProblem("damaged", "it has samples that are no finite numbers; save it as 16-bit WAV")
    scale = _FULL_SCALE / max(peak, 1.0)
    whole = np.clip(np.rint(samples * scale), -_FULL_SCALE, _FULL_SCALE - 1).astype("<i2")
    if not whole.any():
        raise FileProblem("silent", "each of its samples is zero in 16 bits; remove it, or record it again")
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(whole.shape[1])
        written.setsampwidth(whole.itemsize)
        written.setframerate(rate)
        written.writeframes(whole.tobytes())
    return file.getvalue()


def _ends_early(data: bytes) -> bool:
    """Tells whether a container says that more should follow; the decoder finds out about FLAC."""
    if data.startswith(b"OggS"):
        last = data[data.rfind(b"OggS") :]
        if len(last) < _PAGE_HEADER or not last[_KIND_OF_PAGE] & _LAST_PAGE:
            return True
        parts = last[_PAGE_HEADER : _PAGE_HEADER + last[_PAGE_HEADER - 1]]
        return len(last) < _PAGE_HEADER + len(parts) + sum(parts)
    if not data.startswith(b"RIFF"):
        return False
    place = 12
    while place + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, place)
        if name == b"data":
            return size not in _UNKNOWN_SIZES and place + 8 + size > len(data)
        place += 8 + size + size % 2
    return True


def _damaged(error: Exception) -> FileProblem:
    return FileProblem("damaged", f"it starts like a sound and cannot be decoded: {str(error).strip()}")


def _unusable_format(data: bytes) -> FileProblem:
    for offset, mark, name in UNSUPPORTED:
        if data.startswith(mark, offset):
            return FileProblem("unsupported format", f"{name}; {EXPECTED}")
    name = next((name for offset, mark, name in NOT_IMAGES if data.startswith(mark, offset)), "no format of sound")
    return FileProblem("not a sound", f"it looks like {name}; {EXPECTED}")
