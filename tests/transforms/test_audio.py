"""Sounds in the graph: decoded, mixed down, brought to another rate and cut into patches."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import soundfile
from sound_data import sound_file, tone

from components.example_gen.sounds import to_wav
from finetune.config.backbone import AudioConfig
from transforms.log_mel import log_mel

tf = pytest.importorskip("tensorflow")

from transforms import audio as subject  # noqa: E402

YAMNET = AudioConfig()
SILENCE = np.log(0.001)


def resampled(samples: np.ndarray, rate: int, wanted: int, most: int = 10**6) -> np.ndarray:
    return subject.resample(tf.constant(samples, tf.float64), tf.constant(rate), wanted, most).numpy()


def patches(data: bytes, config: AudioConfig = YAMNET) -> np.ndarray:
    (mel,) = subject.wav_to_mel(tf.constant([data]), config)
    return subject.log_mel_patches(subject.parse_frames(mel, config.bands), config).numpy()


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 48_000, 96_000, 16_001])
def test_a_tone_of_another_rate_is_the_same_tone(rate):
    def at(hertz: int) -> np.ndarray:
        time = np.arange(hertz) / hertz
        return np.sin(2 * np.pi * 440 * time) + 0.5 * np.sin(2 * np.pi * 2900.5 * time + 1)

    found, wanted = resampled(at(rate), rate, 16_000), at(16_000)
    assert len(found) == len(wanted)
    # What comes before the beginning and after the end counts as silence.
    middle = slice(200, -200)
    np.testing.assert_allclose(found[middle], wanted[middle], atol=2e-4)


@pytest.mark.parametrize("rate", [32_000, 44_100, 48_000])
def test_what_the_lower_rate_cannot_hold_is_left_out_and_not_mirrored(rate):
    found = resampled(np.sin(2 * np.pi * 9000 * np.arange(rate) / rate), rate, 16_000)
    assert np.abs(found[200:-200]).max() < 1e-4


@pytest.mark.parametrize(("rate", "up", "down"), [(8000, 2, 1), (44_100, 160, 441), (48_000, 1, 3)])
def test_a_sound_is_resampled_as_scipy_does(rate, up, down):
    samples = scipy.signal.lfilter(*scipy.signal.butter(6, 2500, fs=rate), np.random.default_rng(0).normal(size=rate))
    wanted = scipy.signal.resample_poly(samples, up, down, window=("kaiser", 9.0), padtype="constant")
    found = resampled(samples, rate, 16_000)
    assert len(found) == len(wanted)
    np.testing.assert_allclose(found[200:-200], wanted[200:-200], atol=5e-4)


def test_no_more_is_computed_than_asked_for():
    samples = np.random.default_rng(0).normal(size=44_100)
    np.testing.assert_array_equal(resampled(samples, 44_100, 16_000, 500), resampled(samples, 44_100, 16_000)[:500])


def test_a_constant_stays_one():
    np.testing.assert_allclose(resampled(np.ones(4410), 44_100, 16_000)[100:-100], 1, atol=1e-6)


def test_channels_are_averaged_and_other_bytes_refused():
    two = np.stack([tone(300), 0.2 * tone(900)], axis=1)
    samples, rate = subject.decode(tf.constant(sound_file(two, 11_025)))
    assert rate == 11_025
    np.testing.assert_allclose(samples, two.mean(axis=1), atol=1 / 32768)
    for data in (b"", b"RIFF", sound_file(two, kind="FLAC"), sound_file(two, subtype="PCM_24")):
        with pytest.raises(tf.errors.InvalidArgumentError):
            subject.decode(tf.constant(data))


@pytest.mark.parametrize(
    ("samples", "count"), [(1, 1), (399, 1), (15_600, 1), (15_601, 2), (15_600 + 7680, 2), (15_601 + 7680, 3)]
)
def test_sounds_are_padded_to_whole_patches_with_silence(samples, count):
    found = patches(sound_file(np.full(samples, 0.5)))
    assert found.shape == (10, 96, 64)
    assert found.any(axis=(1, 2)).tolist() == [True] * count + [False] * (10 - count)
    if samples < 15_000:
        np.testing.assert_allclose(found[0, 3:], SILENCE, atol=1e-5)


def test_what_comes_after_the_last_patch_is_left_out():
    sound = np.random.default_rng(0).normal(0, 0.1, 400_000)
    np.testing.assert_array_equal(patches(sound_file(sound)), patches(sound_file(sound[:100_000])))


def test_patches_are_those_of_an_independent_computation():
    sound = tone(700, 2.0, noise=0.1)
    found = patches(data := sound_file(sound))
    samples = np.frombuffer(data[44:], "<i2") / 32768
    frames = log_mel(np.pad(samples, (0, 15_600 + 3 * 7680 - len(samples))), YAMNET)
    wanted = np.stack([frames[48 * n : 48 * n + 96] for n in range(4)])
    np.testing.assert_allclose(found[:4], wanted, atol=1e-4)


def test_the_bands_are_tensorflows_own():
    matrix = tf.signal.linear_to_mel_weight_matrix(64, 257, 16_000, 125.0, 7500.0)
    np.testing.assert_allclose(subject.mel_matrix(YAMNET), matrix, atol=2e-5)


def in_double_precision(samples: np.ndarray, rate: int) -> np.ndarray:
    """YAMNet's log-mel of a sound by NumPy and SciPy alone: each new sample as the sum that defines it, float64."""
    place = np.arange(-(-len(samples) * 16_000 // rate)) * rate / 16_000
    passed = 0.94 * min(1.0, 16_000 / rate)
    distance = passed * np.abs(place[:, np.newaxis] - np.arange(-200, len(samples) + 200))
    window = scipy.signal.windows.blackmanharris(2 * 64 * 4096 + 1)[64 * 4096 :]
    weights = np.sinc(distance) * np.interp(distance, np.arange(len(window)) / 4096, window, right=0)
    mono = weights @ np.pad(samples, 200) / weights.sum(axis=1)
    mono = np.pad(mono, (0, max(0, 15_600 - len(mono))))[:15_600]
    _, _, spectra = scipy.signal.stft(
        mono, 16_000, scipy.signal.get_window("hann", 400), 400, 240, 512, boundary=None, padded=False
    )
    magnitudes = np.abs(spectra) * 200  # SciPy divides by the sum of the window.
    hertz = np.linspace(0, 8000, 257)
    pitch = 1127 * np.log(1 + hertz / 700)
    edges = np.linspace(1127 * np.log(1 + 125 / 700), 1127 * np.log(1 + 7500 / 700), 66)
    bands = [np.interp(pitch, edges[n : n + 3], [0, 1, 0]) @ magnitudes for n in range(64)]
    return np.log(np.array(bands).T + 0.001)


def test_recordings_have_the_spectra_of_an_independent_computation(real_data):
    config = AudioConfig(max_patches=1)
    files = sorted((real_data / "audio" / "spoken_digits" / "wav").glob("*.wav"))[::150]
    assert len(files) == 8
    for file in files:
        samples, rate = soundfile.read(file)
        found = patches(to_wav(file.read_bytes()), config)[0]
        np.testing.assert_allclose(found, in_double_precision(samples, rate), atol=1e-4, err_msg=file.name)
