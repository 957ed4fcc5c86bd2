"""Texts as the backbone takes them: ids of words or of their pieces, what a preprocessor makes, or the clean text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from finetune.run_time import FileDigest
from transforms import features
from transforms.backbone import Backbone
from transforms.piece_vocabulary import FILES, read_piece_vocabulary

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_transform as tft

    from transforms.inputs import TensorInputs


class Text:
    """Texts in UTF-8. A record's `preprocessing` holds `vocabulary` with `unknown_words` and `max_words`, or
    `tokenizer` with `max_pieces`, or `preprocessor`, which may be None.
    """

    raw = features.TEXT
    keys: tuple[str, ...] = ("backbone.text",)
    kept = False

    def describe(self, record: Backbone) -> str:
        """Says how many words, where they are counted."""
        if "tokenizer" in record.preprocessing:
            return f"at most {record.preprocessing['max_pieces']} word pieces"
        words = record.preprocessing.get("max_words")
        return f"at most {words} words" if words else "texts"

    def settings(self, record: Backbone) -> dict[str, Any]:
        """Returns the record's `preprocessing`, with the digests of the files that it names."""
        settings = dict(record.preprocessing)
        for name in ("vocabulary", "preprocessor"):
            if name in settings:
                place = settings[name]
                local = place and "://" not in place
                settings[f"{name}_sha256"] = FileDigest(path=place) if local else None
        if "tokenizer" in settings:
            folder = settings["tokenizer"]
            # Not of the folder, where its name is known: other weights need no other preprocessing.
            places = [f"{folder}/{file}" for file in FILES] if isinstance(folder, str) else [folder]
            names = [file.split(".")[0] for file in FILES]
            settings |= {f"{name}_sha256": FileDigest(path=place) for name, place in zip(names, places, strict=False)}
        return settings

    def transform(self, values: tf.Tensor, settings: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """Makes what the backbone takes.

        Returns:
            `word_ids`: int64 [batch, max_words] (`transforms.text.WordIds`); or `piece_ids`: int64 [batch, max_pieces]
            (`transforms.word_pieces.WordPieces`); or what the preprocessor makes, in int64;
            or for an encoder that takes strings `clean_text`: string [batch], valid UTF-8.
        """
        import tensorflow as tf
        import tensorflow_transform as tft

        from transforms.text import WordIds, load_preprocessor, valid_utf8
        from transforms.word_pieces import WordPieces
        from transforms.word_table import read_word_table

        if "vocabulary" in settings:
            word_ids = tft.make_and_track_object(
                lambda: WordIds(read_word_table(settings["vocabulary"]), settings["unknown_words"]), name="word_ids"
            )
            return {features.WORD_IDS: word_ids(values, settings["max_words"])}
        if "tokenizer" in settings:
            word_pieces = tft.make_and_track_object(
                lambda: WordPieces(read_piece_vocabulary(settings["tokenizer"])), name="word_pieces"
            )
            return {features.PIECE_IDS: word_pieces(values, settings["max_pieces"])}
        clean = valid_utf8(values)
        if not settings["preprocessor"]:
            return {features.CLEAN_TEXT: clean}
        preprocessor = tft.make_and_track_object(
            lambda: load_preprocessor(settings["preprocessor"]), name="preprocessor"
        )
        return {name: tf.cast(tensor, tf.int64) for name, tensor in preprocessor(clean).items()}

    def inputs(self, record: Backbone, transform_output: tft.TFTransformOutput) -> TensorInputs:
        """Reads all features that were made of the text."""
        from transforms.inputs import TensorInputs, made_features

        return TensorInputs(made_features(transform_output), "text", self.raw)
