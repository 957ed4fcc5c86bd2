"""all-MiniLM-L6-v2 as two SavedModels that `backbone.handle` and `backbone.text.preprocessor` take.

    uv run --with tokenizers python -m benchmarks.minilm [--folder FOLDER]

makes them from Hugging Face's files, and holds them against Hugging Face's own tokenizer and published similarities.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.flowers import real_data
from benchmarks.tables import machine, save, table

LENGTH = 128
# Cosines that the model's page and shared/real give, of pairs of these.
SENTENCES = ("The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium.")
SIMILARITIES = {(0, 1): 0.6660, (0, 2): 0.1046, (1, 2): 0.1411}


def main() -> None:
    """Makes both, checks them and writes the page."""
    import tensorflow_hub as hub
    from tokenizers import Tokenizer

    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path("runs/benchmarks"))
    described = machine()
    encoder_folder, preprocessor_folder = minilm(arguments.parse_args().folder.absolute())
    encoder, preprocessor = hub.load(str(encoder_folder)), hub.load(str(preprocessor_folder))

    theirs = Tokenizer.from_file(str(real_data() / "weights" / "minilm" / "tokenizer.json"))
    theirs.enable_truncation(LENGTH)
    theirs.enable_padding(length=LENGTH)
    rows, tokens = [], {}
    for name, texts in (("sms_spam", sms_spam()), ("GoEmotions, train", goemotions("train")[0])):
        found = np.concatenate([preprocessor(part)["input_word_ids"] for part in _parts(texts, 500)])
        wanted = np.array([encoding.ids for encoding in theirs.encode_batch(texts)])
        other = [text for text, differ in zip(texts, (found != wanted).any(axis=1), strict=True) if differ]
        tokens[name] = {"texts": len(texts), "other": other}
        rows.append((name, len(texts), len(other)))
    vectors = encoder(preprocessor(list(SENTENCES)))["pooled_output"].numpy()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = {pair: float(vectors[pair[0]] @ vectors[pair[1]]) for pair in SIMILARITIES}
    pairs = (
        (f"{SENTENCES[one]} / {SENTENCES[other]}", f"{wanted:.4f}", f"{cosines[one, other]:.4f}")
        for (one, other), wanted in SIMILARITIES.items()
    )
    text = (
        f"# MiniLM as SavedModels\n\n{described}.\n\nIds of word pieces, of at most {LENGTH} a text, beside those of "
        f"Hugging Face's `tokenizers`:\n\n{table(('texts', 'number', 'with other ids'), rows)}\n\n"
        f"Cosines of sentences:\n\n{table(('pair', 'published', 'found'), pairs)}\n\n"
        "`uv run --with tokenizers python -m benchmarks.minilm` makes this page."
    )
    named = {f"{one}-{other}": cosine for (one, other), cosine in cosines.items()}
    save("minilm", text, {"machine": described, "tokens": tokens, "cosines": named})
    print(text)


def minilm(folder: Path, length: int = LENGTH) -> tuple[Path, Path]:
    """Makes the SavedModels where they are not there yet.

    Args:
        folder: Of the benchmark's data.
        length: Word pieces of a text, with the two at its ends.

    Returns:
        Folders of the encoder, from `input_word_ids`, `input_mask` and `input_type_ids`, int32 [batch, length], to
        `pooled_output`, float32 [batch, 384]; and of the preprocessor, from string [batch] to these three.
    """
    import tensorflow as tf
    from safetensors.numpy import load_file

    from benchmarks.bert import Bert
    from benchmarks.word_pieces import WordPieces

    made = folder / f"minilm-{length}"
    if not made.is_dir():
        source, unfinished = real_data() / "weights" / "minilm", made.with_suffix(".tmp")
        vocabulary = (source / "vocab.txt").read_text(encoding="utf-8").splitlines()
        tf.saved_model.save(WordPieces(vocabulary, length), str(unfinished / "preprocessor"))
        bert = Bert(json.loads((source / "config.json").read_text()), load_file(source / "model.safetensors"))
        names = ("input_word_ids", "input_mask", "input_type_ids")
        call = tf.function(bert.__call__, autograph=False)
        for training in (False, True):
            call.get_concrete_function(
                {name: tf.TensorSpec([None, length], tf.int32, name=name) for name in names}, training=training
            )
        reusable = tf.train.Checkpoint()
        reusable.__call__ = call
        reusable.variables = reusable.trainable_variables = list(bert.weights.values())
        tf.saved_model.save(reusable, str(unfinished / "encoder"))
        unfinished.rename(made)
    return made / "encoder", made / "preprocessor"


def sms_spam() -> list[str]:
    """Returns the messages of the SMS Spam Collection, 5,574."""
    lines = (real_data() / "text" / "sms_spam.tsv").read_text(encoding="utf-8").split("\n")
    return [line.split("\t", 1)[1] for line in lines if line]


def goemotions(split: str, folder: Path | None = None) -> tuple[list[str], list[list[str]]]:
    """Returns texts of GoEmotions and the labels of each, from a folder of its tables."""
    folder = folder or real_data() / "text" / "goemotions"
    with (folder / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["labels"].split("|") for row in rows]


def _parts(texts: Sequence[str], size: int) -> list[Sequence[str]]:
    return [texts[first : first + size] for first in range(0, len(texts), size)]


if __name__ == "__main__":
    main()
