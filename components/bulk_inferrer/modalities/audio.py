"""Spectrograms of sounds, and the sounds to play."""

from __future__ import annotations

from pathlib import Path

import numpy as np

# Height in pixels, which is also the number of bands, and most pixels of width: a frame each.
HEIGHT, MOST_WIDTH = 96, 384
# What a report plays: its beginning, so that the page stays small.
PLAYED_SECONDS = 4.0
_MOST_HERTZ = 8000.0
# What is drawn, in decibels below the loudest place.
_RANGE_DB = 80.0
# Colours from silence to loud: viridis at five places (van der Walt and Smith 2015).
_COLOURS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))


class Audio:
    """A mel spectrogram as a PNG, and the sound as FLAC, which browsers play."""

    def preview(self, value: bytes, stem: Path) -> dict[str, str]:
        """Writes both of the first seconds, in one channel."""
        import io

        import soundfile
        from PIL import Image

        samples, rate = soundfile.read(io.BytesIO(value), dtype="float32", always_2d=True)
        mono = samples[: round(PLAYED_SECONDS * rate)].mean(axis=1)
        picture, sound = stem.with_suffix(".png"), stem.with_suffix(".flac")
        Image.fromarray(drawn(mono, rate)).save(picture)
        soundfile.write(sound, mono, rate, format="FLAC", subtype="PCM_16")
        return {"image": picture.name, "sound": sound.name}


def drawn(mono: np.ndarray, rate: int) -> np.ndarray:
    """Draws a spectrogram, time from left to right and pitch upwards.

    Args:
        mono: float [samples].
        rate: Samples a second.

    Returns:
        uint8 [HEIGHT, width, 3].
    """
    from finetune.config.backbone import AudioConfig
    from transforms.log_mel import log_mel

    hop = max(0.01, len(mono) / rate / MOST_WIDTH)
    high = min(_MOST_HERTZ, rate / 2)
    config = AudioConfig(
        sample_rate=rate,
        window_ms=32.0,
        hop_ms=1000 * hop,
        bands=HEIGHT,
        low_hz=min(50.0, high / 2),
        high_hz=high,
        log_offset=1e-6,
    )
    window = round(rate * config.window_ms / 1000)
    padded = np.pad(mono, (0, max(0, window - len(mono))))
    decibels = 20 / np.log(10) * log_mel(padded, config).T[::-1]
    share = np.clip((decibels - decibels.max()) / _RANGE_DB + 1, 0, 1)
    places = np.linspace(0, 1, len(_COLOURS))
    channels = [np.interp(share, places, colour) for colour in np.transpose(_COLOURS)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)
