"""Random changes of training sounds, each a pure function of a seed, on the magnitudes of their mel bands."""

from __future__ import annotations

import math

import tensorflow as tf

from finetune.config import AugmentationConfig

# Of each kind, as SpecAugment's policies LD and SM have it (Park et al. 2019, table 1).
MASKS = 2
# Apart from the seeds of all other draws, whose first number is an epoch's.
_NOISE, _FRAMES, _BANDS = (1 << 40, 0), (1 << 41, 0), (1 << 42, 0)


def change_sound(mel: tf.Tensor, seed: tf.Tensor, config: AugmentationConfig) -> tf.Tensor:
    """Changes one sound at random: float32 [frames, bands], magnitudes from 0 on, to the same shape.

    It is moved in time, made louder or quieter, and drowned in noise; then frames and bands are masked: silent.
    The same seed, int64 [2], makes the same change.
    """
    draws = tf.random.stateless_uniform([3], seed, -1.0, 1.0)
    if config.time_shift:
        length = tf.cast(tf.shape(mel)[0], tf.float32)
        mel = tf.roll(mel, tf.cast(tf.round(config.time_shift * length * draws[0]), tf.int32), axis=0)
    if config.gain_db:
        mel *= tf.pow(10.0, config.gain_db * draws[1] / 20.0)
    if config.noise:
        mel = _noisy(mel, config.noise * tf.abs(draws[2]), seed)
    if config.time_mask:
        mel *= _kept(tf.shape(mel)[0], config.time_mask, seed + tf.constant(_FRAMES, tf.int64))[:, tf.newaxis]
    if config.band_mask:
        mel *= _kept(tf.shape(mel)[1], config.band_mask, seed + tf.constant(_BANDS, tf.int64))
    return mel


def _noisy(mel: tf.Tensor, share: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Adds noise as loud in each band as `share` of the loudest frame's mean band.

    The magnitude of Gaussian noise is Rayleigh-distributed, here with a mean of 1; powers of sounds that have nothing
    to do with each other add up.
    """
    loudest = tf.reduce_max(tf.reduce_mean(mel, axis=1))
    # Above 0, so that the logarithm is finite.
    uniform = tf.random.stateless_uniform(tf.shape(mel), seed + tf.constant(_NOISE, tf.int64), 1e-7, 1.0)
    noise = share * loudest * tf.sqrt(-4.0 / math.pi * tf.math.log(uniform))
    return tf.sqrt(tf.square(mel) + tf.square(noise))


def _kept(length: tf.Tensor, most: int, seed: tf.Tensor) -> tf.Tensor:
    """Returns float32 [length]: 0 in MASKS runs of up to `most` places each, 1 elsewhere."""
    draws = tf.random.stateless_uniform([2, MASKS], seed)
    widths = tf.floor(draws[0] * float(most + 1))
    starts = tf.floor(draws[1] * (tf.maximum(tf.cast(length, tf.float32) - widths, 0.0) + 1.0))
    places = tf.range(tf.cast(length, tf.float32))[:, tf.newaxis]
    masked = tf.reduce_any((places >= starts) & (places < starts + widths), axis=1)
    return tf.cast(~masked, tf.float32)
