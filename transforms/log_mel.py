"""Log-mel spectrograms as arithmetic on arrays, and the filter that changes the rate of a sound. No TensorFlow here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.config.backbone import AudioConfig

Floats = NDArray[np.float64]

# Of the filter: zero crossings of its sinc on each side, and the terms of its Blackman-Harris window, which keeps what
# would be mirrored 92 dB down (Harris 1978, "On the use of windows for harmonic analysis", table 1).
ZERO_CROSSINGS = 64
_WINDOW = (0.35875, 0.48829, 0.14128, 0.01168)
# Share of the lower of both Nyquist frequencies that passes.
PASSED = 0.94


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


def frames_of(samples: Floats, length: int, hop: int) -> Floats:
    """Cuts samples [n] into frames [1 + (n - length) // hop, length]; what is left at the end is in none."""
    return np.lib.stride_tricks.sliding_window_view(samples, length)[::hop]


def hann(length: int) -> Floats:
    """Returns the periodic Hann window, float64 [length]."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)


def mel(hertz: Floats | float) -> Floats:
    """Returns pitches in mel, as HTK has them (Young et al. 2006, "The HTK Book", section 5.4)."""
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


def mel_matrix(config: AudioConfig) -> Floats:
    """Returns what weighs the bins of a spectrum into bands, float64 [fft_length / 2 + 1, bands].

    Each band is a triangle over the mel scale, which begins and ends at the peaks of its neighbours; no area is
    normalised. The bin of frequency 0 is in none.
    """
    bins = mel(np.linspace(0, config.sample_rate / 2, fft_length(config) // 2 + 1))[:, np.newaxis]
    edges = np.linspace(mel(config.low_hz), mel(config.high_hz), config.bands + 2)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0, np.minimum(rising, falling))
    weights[0] = 0
    return weights


def log_mel(samples: Floats, config: AudioConfig) -> Floats:
    """Returns log(bands + `log_offset`) of each whole frame, float [frames, bands].

    Args:
        samples: [n] in [-1, 1], of the config's rate, at least one window of them.
        config: Says window, hop and bands.
    """
    window = hann(window_samples(config))
    frames = frames_of(samples, len(window), hop_samples(config)) * window
    return np.log(np.abs(np.fft.rfft(frames, fft_length(config))) @ mel_matrix(config) + config.log_offset)


def low_pass(distance: Any, numpy: Any = np) -> Any:
    """Returns the filter that changes rates, a windowed sinc, away from its middle (Smith 2002, "Digital Audio
    Resampling", https://ccrma.stanford.edu/~jos/resample).

    Args:
        distance: In zero crossings of the sinc, from 0 on; float, of any shape.
        numpy: What computes: NumPy, or TensorFlow's operations under the same names.

    Returns:
        The same shape and type; 0 from ZERO_CROSSINGS on.
    """
    turn = np.pi / ZERO_CROSSINGS * distance
    window = sum(share * numpy.cos(number * turn) for number, share in enumerate(_WINDOW))
    return numpy.where(distance < ZERO_CROSSINGS, numpy.sinc(distance) * window, numpy.zeros_like(distance))


def reach(ratio: float) -> int:
    """Returns how many samples on each side have a say in one of the rate that is `ratio` of theirs."""
    return math.ceil(ZERO_CROSSINGS / (PASSED * min(1.0, ratio)))
