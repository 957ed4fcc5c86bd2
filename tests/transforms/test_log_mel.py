"""The arithmetic of spectrograms against independent computations; no TensorFlow here."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from pydantic import ValidationError

from finetune.config.backbone import AudioConfig
from transforms import log_mel as subject

YAMNET = AudioConfig()


def test_a_frame_is_25_ms_every_10_in_512_points_and_a_patch_0_975_s():
    assert subject.window_samples(YAMNET) == 400
    assert subject.hop_samples(YAMNET) == 160
    assert subject.fft_length(YAMNET) == 512
    assert subject.patch_samples(YAMNET) == 15_600


@pytest.mark.parametrize(("count", "frames"), [(400, 1), (559, 1), (560, 2), (15_600, 96)])
def test_frames_are_whole(count, frames):
    found = subject.frames_of(np.arange(count, dtype=float), 400, 160)
    assert found.shape == (frames, 400)
    assert (found[-1] == np.arange(400) + 160 * (frames - 1)).all()


def test_the_window_is_scipys_periodic_one():
    np.testing.assert_allclose(subject.hann(400), scipy.signal.get_window("hann", 400), atol=1e-7)


def test_pitch_is_a_logarithm_above_and_linear_below_700_hertz():
    assert subject.mel(1000.0) == pytest.approx(1000.0, abs=0.1)
    assert subject.mel(0.0) == 0
    assert subject.mel(7.0) == pytest.approx(11.2, abs=0.1)


def test_bands_are_triangles_of_height_1_that_share_each_bin_between_two():
    weights = subject.mel_matrix(AudioConfig(bands=10, low_hz=0, high_hz=8000))
    assert weights.shape == (257, 10)
    assert weights.min() == 0
    assert (weights.max(axis=0) > 0.8).all()
    inside = weights[weights[:, 0].argmax() + 1 : weights[:, -1].argmax()]
    np.testing.assert_allclose(inside.sum(axis=1), 1, atol=1e-5)
    assert (np.count_nonzero(inside, axis=1) <= 2).all()
    assert not weights[0].any()


def by_loops(samples: np.ndarray) -> np.ndarray:
    """YAMNet's log-mel as its description says it, band by band, in double precision."""

    def pitch(hertz: float) -> float:
        return 2595.0 * np.log10(1.0 + hertz / 700.0)

    edges = [pitch(125) + (pitch(7500) - pitch(125)) * n / 65 for n in range(66)]
    window = scipy.signal.get_window("hann", 400)
    rows = []
    for start in range(0, len(samples) - 399, 160):
        magnitudes = np.abs(np.fft.fft(samples[start : start + 400] * window, 512))
        bands = np.zeros(64)
        for place in range(1, 257):
            at = pitch(place * 16_000 / 512)
            for band in range(64):
                low, middle, high = edges[band : band + 3]
                slope = min((at - low) / (middle - low), (high - at) / (high - middle))
                bands[band] += max(slope, 0.0) * magnitudes[place]
        rows.append(np.log(bands + 0.001))
    return np.array(rows)


def test_a_spectrogram_is_that_of_an_independent_computation():
    samples = np.random.default_rng(0).normal(0, 0.1, 2000) + np.sin(np.arange(2000) / 5)
    # Both say what HTK does, with a constant of four digits each.
    np.testing.assert_allclose(subject.log_mel(samples, YAMNET), by_loops(samples), atol=2e-4)


@pytest.mark.parametrize(("hertz", "other"), [(300, 3000), (3000, 300)])
def test_a_tone_is_loudest_in_its_own_band(hertz, other):
    samples = np.sin(2 * np.pi * hertz * np.arange(16_000) / 16_000)
    edges = np.linspace(subject.mel(125), subject.mel(7500), 66)
    bands = subject.log_mel(samples, YAMNET).mean(axis=0)
    assert abs(edges[1 + bands.argmax()] - subject.mel(hertz)) < edges[1] - edges[0]
    assert bands[np.abs(edges[1:-1] - subject.mel(other)).argmin()] < bands.max() - 5


def test_the_filter_passes_below_and_stops_above_its_edge():
    points = 256
    half = subject.low_pass(np.arange(subject.ZERO_CROSSINGS * points + 1) / points)
    assert half[0] == pytest.approx(1)
    assert half[-1] == 0
    whole = np.concatenate([half[:0:-1], half]) / points
    # In units of the rate, of which half is the edge of a sinc with one zero crossing a sample.
    frequency, response = scipy.signal.freqz(whole, worN=np.linspace(0, 1, 4001), fs=points)
    decibels = 20 * np.log10(np.abs(response) + 1e-12)
    assert np.abs(decibels[frequency < 0.465]).max() < 0.01
    assert decibels[frequency > 0.535].max() < -90
    assert pytest.approx(0.5, abs=0.006) == 0.5 * subject.PASSED + 0.035, "what is mirrored lies above the edge"


def test_slower_rates_need_more_samples_of_the_faster_one():
    assert subject.reach(2.0) == subject.reach(1.0) < subject.reach(0.5) <= 2 * subject.reach(1.0)


@pytest.mark.parametrize("section", [{"low_hz": 8000}, {"high_hz": 9000}, {"sample_rate": 8000}])
def test_bands_beyond_half_of_the_rate_are_refused(section):
    with pytest.raises(ValidationError, match="expected low_hz < high_hz <= "):
        AudioConfig(**section)
