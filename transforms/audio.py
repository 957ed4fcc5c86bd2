"""From the bytes of a WAV file to log-mel patches, in TensorFlow operations that training and serving share.

The two halves meet at the magnitudes of mel bands: everything before them is the Transform graph (`wav_to_mel`), the
logarithm and the patches come after (`log_mel_patches`). Augmentation works on magnitudes: a louder sound is a
multiple, and silence is 0.

All before them is float64: a spectrum in float32 has noise that the logarithm of a quiet band would show.
"""

from __future__ import annotations

import tensorflow as tf
import tensorflow.experimental.numpy as tnp

from finetune.config.backbone import AudioConfig
from transforms.log_mel import (
    PASSED,
    ZERO_CROSSINGS,
    fft_length,
    hop_samples,
    low_pass,
    mel_matrix,
    patch_samples,
    window_samples,
)


def decode(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes one WAV file with 16 bits a sample; the mean of its channels is what counts.

    Args:
        encoded: Scalar string, the bytes of the file.

    Returns:
        float64 [samples] in [-1, 1), and its rate, int32 scalar.

    Raises:
        tf.errors.InvalidArgumentError: The bytes are no such file.
    """
    samples, rate = tf.audio.decode_wav(encoded)
    return tf.reduce_mean(tf.cast(samples, tf.float64), axis=1), rate


def resample(samples: tf.Tensor, rate: tf.Tensor, wanted: int, most: int) -> tf.Tensor:
    """Changes the rate of a sound by band-limited interpolation (`transforms.log_mel.low_pass`).

    Whole numbers alone say where each new sample lies between old ones, so that nothing drifts, however long it is.

    Args:
        samples: float64 [n].
        rate: int32 scalar, samples a second.
        wanted: The same of the result.
        most: Samples of the result; what comes later is left out.

    Returns:
        float64 [min(most, ceil(n * wanted / rate))].
    """
    rate = tf.cast(rate, tf.int64)
    common = tnp.gcd(rate, tf.constant(wanted, tf.int64))
    up, down = wanted // common, rate // common
    passed = PASSED * tf.minimum(tf.constant(1.0, tf.float64), up / down)
    reach = tf.cast(tf.math.ceil(ZERO_CROSSINGS / passed), tf.int64)
    # A new sample lies any of 0, 1, ... up - 1 parts of `up` behind an old one.
    behind = tf.range(up) / up
    steps = tf.cast(tf.range(-reach, reach + 1), tf.float64)
    weights = low_pass(passed * tf.abs(steps[:, tf.newaxis] - behind), tnp)
    weights /= tf.reduce_sum(weights, axis=0)

    count = tf.minimum(tf.constant(most, tf.int64), -(-tf.size(samples, tf.int64) * up // down))
    place = tf.range(count) * down
    before, part = place // up, place % up
    padded = tf.pad(samples, [[reach, reach + 1]])

    def add(number: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return number + 1, total + tf.gather(padded, before + number) * tf.gather(weights[number], part)

    start = tf.constant(0, tf.int64), tf.zeros([count], tf.float64)
    _, resampled = tf.while_loop(lambda number, _: number <= 2 * reach, add, start)
    return resampled


def whole_patches(samples: tf.Tensor, config: AudioConfig) -> tf.Tensor:
    """Pads a sound with silence to whole patches, at least one, or cuts it after `max_patches`: float64 [n] to [m]."""
    first, step = patch_samples(config), config.patch_hop * hop_samples(config)
    further = tf.clip_by_value(-(-(tf.size(samples) - first) // step), 0, config.max_patches - 1)
    length = first + step * further
    samples = samples[:length]
    return tf.pad(samples, [[0, length - tf.size(samples)]])


def mel_frames(samples: tf.Tensor, config: AudioConfig) -> tf.Tensor:
    """Returns the magnitudes of bands in each frame: float64 [n] of the config's rate to float32 [frames, bands]."""
    spectra = tf.signal.stft(samples, window_samples(config), hop_samples(config), fft_length(config))
    return tf.cast(tf.abs(spectra) @ tf.constant(mel_matrix(config)), tf.float32)


# Transform traces its graph several times: this traces them once.
@tf.function(autograph=False)
def wav_to_mel(encoded: tf.Tensor, config: AudioConfig) -> tf.Tensor:
    """Makes frames of mel bands of a batch of WAV files, string [batch].

    Returns:
        string [batch]: each a serialised float32 tensor [frames, bands], with as many frames as whole patches have;
        `parse_frames` reads it back. As a list of numbers in a tf.Example it would grow.
    """
    most = patch_samples(config) + (config.max_patches - 1) * config.patch_hop * hop_samples(config)

    def one(wav: tf.Tensor) -> tf.Tensor:
        samples, rate = decode(wav)
        samples = tf.cond(
            rate == config.sample_rate, lambda: samples, lambda: resample(samples, rate, config.sample_rate, most)
        )
        return tf.io.serialize_tensor(mel_frames(whole_patches(samples, config), config))

    return tf.map_fn(one, encoded, fn_output_signature=tf.string)


def parse_frames(serialised: tf.Tensor, bands: int) -> tf.Tensor:
    """Reads one result of `wav_to_mel`: scalar string to float32 [frames, bands]."""
    return tf.ensure_shape(tf.io.parse_tensor(serialised, tf.float32), [None, bands])


def log_mel_patches(mel: tf.Tensor, config: AudioConfig) -> tf.Tensor:
    """Takes log(magnitude + `log_offset`), and cuts frames [frames, bands] into patches.

    Returns:
        float32 [max_patches, patch_frames, bands]; zero throughout where there is no patch.
    """
    log_mel = tf.math.log(mel + config.log_offset)
    patches = tf.signal.frame(log_mel, config.patch_frames, config.patch_hop, axis=0)
    missing = config.max_patches - tf.shape(patches)[0]
    padded = tf.pad(patches, [[0, missing], [0, 0], [0, 0]])
    return tf.ensure_shape(padded, [config.max_patches, config.patch_frames, config.bands])
