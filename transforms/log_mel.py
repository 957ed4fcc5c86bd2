"""Log-mel spectrograms as arithmetic on arrays, and the filter that changes the rate of a sound. No TensorFlow here."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from finetune.config.backbone import AudioConfig

Floats = NDArray[np.float32]

# Of the filter: zero crossings of its sinc on each side, points in each of them, and the shape of its Kaiser window,
# which keeps what would be mirrored about 90 dB down (Oppenheim and Schafer 2010, "Discrete-Time Signal Processing",
# section 7.6).
ZERO_CROSSINGS, POINTS = 64, 512
_KAISER_BETA = 9.0
# Share of the lower of both Nyquist frequencies that passes.
PASSED = 0.955


def window_samples(config: AudioConfig) -> int:
    """Returns how many samples a frame is computed of."""
    return round(config.sample_rate * config.window_ms / 1000)


def hop_samples(config: AudioConfig) -> int:
    """Returns how many samples later the next frame begins."""
    return round(config.sample_rate * config.hop_ms / 1000)


def fft_length(config: AudioConfig) -> int:
    """Returns the least power of two that holds a window."""
    return 1 << (window_samples(config) - 1).bit_length()


def patch_samples(config: AudioConfig) -> int:
    """Returns how many samples the frames of a patch are computed of."""
    return window_samples(config) + (config.patch_frames - 1) * hop_samples(config)


def frames_of(samples: NDArray[np.floating], length: int, hop: int) -> NDArray[np.floating]:
    """Cuts samples [n] into frames [1 + (n - length) // hop, length]; what is left at the end is in none."""
    return np.lib.stride_tricks.sliding_window_view(samples, length)[::hop]


def hann(length: int) -> Floats:
    """Returns the periodic Hann window, float32 [length]."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


def mel(hertz: NDArray[np.floating] | float) -> NDArray[np.floating]:
    """Returns pitches in mel, as HTK has them (Young et al. 2006, "The HTK Book", section 5.4)."""
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


def mel_matrix(config: AudioConfig) -> Floats:
    """Returns what weighs the bins of a spectrum into bands, float32 [fft_length / 2 + 1, bands].

    Each band is a triangle over the mel scale, which begins and ends at the peaks of its neighbours; no area is
    normalised. The bin of frequency 0 is in none.
    """
    bins = mel(np.linspace(0, config.sample_rate / 2, fft_length(config) // 2 + 1))[:, np.newaxis]
    edges = np.linspace(mel(config.low_hz), mel(config.high_hz), config.bands + 2)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0, np.minimum(rising, falling))
    weights[0] = 0
    return weights.astype(np.float32)


def log_mel(samples: NDArray[np.floating], config: AudioConfig) -> NDArray[np.floating]:
    """Returns log(bands + `log_offset`) of each whole frame, float [frames, bands].

    Args:
        samples: [n] in [-1, 1], of the config's rate, at least one window of them.
        config: Says window, hop and bands.
    """
    window = hann(window_samples(config))
    frames = frames_of(samples, len(window), hop_samples(config)) * window
    return np.log(np.abs(np.fft.rfft(frames, fft_length(config))) @ mel_matrix(config) + config.log_offset)


def resampling_filter() -> Floats:
    """Returns one half of a Kaiser-windowed sinc, from its middle on, float32 [ZERO_CROSSINGS * POINTS + 2].

    Entry i is its value i / POINTS zero crossings away from the middle; the last two are zero, so that any place up to
    the end lies between two entries (Smith 2002, "Digital Audio Resampling").
    """
    place = np.arange(ZERO_CROSSINGS * POINTS + 1) / POINTS
    window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(0, 1 - (place / ZERO_CROSSINGS) ** 2))) / np.i0(_KAISER_BETA)
    half = np.sinc(place) * window
    half[-1] = 0
    return np.append(half, 0).astype(np.float32)


def reach(ratio: float) -> int:
    """Returns how many samples on each side have a say in one of the rate that is `ratio` of theirs."""
    return math.ceil(ZERO_CROSSINGS / (PASSED * min(1.0, ratio)))
