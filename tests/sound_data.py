"""Sounds made for tests: tones, as files of every kind."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile


def tone(hertz: float, seconds: float = 0.5, rate: int = 16_000, seed: int = 0, noise: float = 0.02) -> np.ndarray:
    """A tone with noise that fades in and out, float64 [samples] in (-1, 1)."""
    time = np.arange(round(seconds * rate)) / rate
    fade = np.sin(np.pi * np.arange(len(time)) / max(len(time), 1))
    return fade * (0.5 * np.sin(2 * np.pi * hertz * time) + noise * np.random.default_rng(seed).normal(size=len(time)))


def sound_file(samples: np.ndarray, rate: int = 16_000, kind: str = "WAV", subtype: str = "PCM_16") -> bytes:
    """The bytes of a file: samples float [n] or [n, channels]."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


PITCHES = {"low": 250.0, "middle": 700.0, "high": 2000.0}


def make_tones(root: Path, speakers: int = 8, takes: int = 3) -> Path:
    """Writes root/wav/*, WAV and FLAC of several rates, and root/manifest.csv with the speaker of each."""
    (root / "wav").mkdir(parents=True)
    random = np.random.default_rng(0)
    rows = ["path,label,speaker"]
    for speaker in range(speakers):
        voice = random.uniform(0.9, 1.1)
        for label, hertz in PITCHES.items():
            for take in range(takes):
                rate = (8000, 16_000, 22_050)[take % 3]
                samples = tone(hertz * voice, random.uniform(0.2, 0.7), rate, seed=len(rows))
                name = f"{label}_{speaker}_{take}.{'flac' if take % 2 else 'wav'}"
                (root / "wav" / name).write_bytes(sound_file(samples, rate, "FLAC" if take % 2 else "WAV"))
                rows.append(f"wav/{name},{label},s{speaker}")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root
