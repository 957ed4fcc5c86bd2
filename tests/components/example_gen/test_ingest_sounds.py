"""Files of sound: each is used as a WAV file with 16 bits a sample, or it is named why it is not."""

from __future__ import annotations

import io
import struct
import wave

import numpy as np
import pytest
import soundfile
from sound_data import sound_file, tone

from components.example_gen.files import FileProblem
from components.example_gen.sounds import check_sound, to_wav

SOUND = tone(440, 0.3)
WHOLE = (32768 * SOUND).astype(np.int16)
WAV, FLAC = sound_file(WHOLE), sound_file(WHOLE, kind="FLAC")
OGG = sound_file(np.tile(SOUND, 20), kind="OGG", subtype="VORBIS")


def made(data: bytes, max_seconds: float = 600.0) -> tuple[np.ndarray, int]:
    """What becomes of a file, as the standard library reads it: int16 [samples, channels], and the rate."""
    check_sound(data, max_seconds)
    with wave.open(io.BytesIO(to_wav(data))) as file:
        assert file.getsampwidth() == 2
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return samples.reshape(-1, file.getnchannels()), file.getframerate()


def problem(data: bytes, max_seconds: float = 600.0) -> FileProblem:
    with pytest.raises(FileProblem) as caught:
        made(data, max_seconds)
    return caught.value


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "FLAC", "RF64"])
@pytest.mark.parametrize("rate", [8000, 11_025, 44_100, 96_000])
def test_samples_of_16_bits_stay_as_they_are(kind, rate):
    samples = np.array([[-32768, 5], [0, -1], [32767, 300]], np.int16)
    found, found_rate = made(sound_file(samples, rate, kind))
    np.testing.assert_array_equal(found, samples)
    assert found_rate == rate


@pytest.mark.parametrize(
    ("kind", "subtype", "error"),
    [
        ("WAV", "PCM_U8", 1 / 128),
        ("WAV", "PCM_24", 1 / 32768),
        ("WAV", "PCM_32", 1 / 32768),
        ("WAV", "FLOAT", 1 / 32768),
        ("WAV", "DOUBLE", 1 / 32768),
        ("WAV", "ULAW", 0.03),
        ("FLAC", "PCM_24", 1 / 32768),
        ("FLAC", "PCM_S8", 1 / 128),
    ],
)
def test_other_samples_are_rounded(kind, subtype, error):
    found, _ = made(sound_file(SOUND, kind=kind, subtype=subtype))
    np.testing.assert_allclose(found[:, 0] / 32768, SOUND, atol=error)


def test_ogg_is_used():
    found, rate = made(OGG)
    assert rate == 16_000
    assert len(found) == 20 * len(SOUND)
    assert np.corrcoef(found[:, 0], np.tile(SOUND, 20))[0, 1] > 0.98


def test_floats_that_are_too_loud_are_made_quieter_and_not_cut_off():
    found, _ = made(sound_file(7 * SOUND, subtype="FLOAT"))
    np.testing.assert_allclose(found[:, 0] / 32767, SOUND / np.abs(SOUND).max(), atol=1 / 16_000)


def test_a_sound_that_was_cut_off_when_it_was_recorded_is_used():
    found, _ = made(sound_file(np.clip(7 * SOUND, -1, 1)))
    assert (found == 32767).mean() > 0.1


def test_the_same_bytes_give_the_same_and_metadata_nothing():
    listed = WAV[:36] + b"LIST" + struct.pack("<I", 5) + b"INFOx\0" + WAV[36:]
    assert to_wav(WAV) == to_wav(WAV) == to_wav(to_wav(FLAC)) == to_wav(listed)


def test_a_wav_file_whose_size_was_not_known_is_read_to_its_end():
    streamed = WAV[:4] + b"\xff" * 4 + WAV[8:40] + b"\xff" * 4 + WAV[44:]
    np.testing.assert_array_equal(made(streamed)[0], made(WAV)[0])


@pytest.mark.parametrize(
    ("data", "reason", "detail"),
    [
        (b"", "not a sound", "it looks like no format of sound"),
        (b"RIFF", "not a sound", "it looks like no format of sound"),
        (b"%PDF-1.7", "not a sound", "it looks like a PDF document"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "not a sound", "ffmpeg -i OLD new.wav"),
        (b"ID3\x03\0\0", "unsupported format", "an MP3 file"),
        (b"\0\0\0\x20ftypM4A ", "unsupported format", "an M4A file"),
        (sound_file(SOUND, kind="AIFF"), "unsupported format", "an AIFF file"),
        (WAV[:20], "truncated", "the file ends too early"),
        (WAV[:-100], "truncated", "the file ends too early"),
        (OGG[:-200], "truncated", "the file ends too early"),
        (sound_file(SOUND[:0]), "empty sound", "no sample"),
        (sound_file(0 * SOUND), "silent", "each of its samples is zero"),
        (sound_file(SOUND * np.where(np.arange(len(SOUND)) == 9, np.nan, 1), subtype="FLOAT"), "damaged", "no finite"),
        (sound_file(SOUND, rate=500), "wrong rate", "500 samples a second; expected 1,000 to 384,000"),
        (b"fLaC" + bytes(60), "damaged", "cannot be decoded"),
        (b"OggS\0\x04" + bytes(60), "damaged", "cannot be decoded"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_used_is_named(data, reason, detail):
    found = problem(data)
    assert found.reason == reason
    assert detail in found.detail


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_flac_file_that_was_cut_short_is_named(share):
    long = sound_file(np.random.default_rng(0).normal(0, 0.1, 30_000), kind="FLAC")
    assert problem(long[: int(share * len(long))]).reason in ("truncated", "damaged")


def test_a_flac_file_with_a_changed_byte_is_named_or_read():
    long = bytearray(sound_file(np.random.default_rng(0).normal(0, 0.1, 30_000), kind="FLAC"))
    long[len(long) // 2] ^= 0xFF
    assert problem(bytes(long)).reason in ("truncated", "damaged")


def test_a_long_sound_is_refused_by_its_header():
    assert problem(WAV, max_seconds=0.2).detail.startswith("0.3 seconds; expected at most 0.2. Cut it, or raise")
    bomb = bytearray(sound_file(np.zeros(160_000), kind="FLAC"))
    assert problem(bytes(bomb), max_seconds=9).reason == "too long"


def test_many_channels_that_would_fill_the_memory_are_refused(monkeypatch):
    monkeypatch.setattr("components.example_gen.sounds.MAX_FILE_BYTES", 10_000)
    assert problem(sound_file(np.tile(SOUND[:, np.newaxis], 2))).reason == "too large"


def test_noise_never_does_more_than_raise_the_error():
    random = np.random.default_rng(0)
    for start in (b"RIFF\x24\0\0\0WAVE", b"fLaC", b"OggS", b"RF64\xff\xff\xff\xffWAVE", WAV[:44], FLAC[:50]):
        for _ in range(20):
            data = start + random.bytes(int(random.integers(0, 300)))
            try:
                made(data)
            except FileProblem:
                continue
            assert soundfile.info(io.BytesIO(data)).frames
