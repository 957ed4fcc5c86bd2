"""The vocabulary of a WordPiece tokenizer in Hugging Face's layout. No TensorFlow here."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.errors import BackboneError

TOKENIZER, LIST, SETTINGS = "tokenizer.json", "vocab.txt", "tokenizer_config.json"
# Whatever the tokenizer depends on, of the files in a model's folder.
FILES = (TOKENIZER, LIST, SETTINGS)
PADDING, UNKNOWN, START, END = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
# What stands before a piece that goes on with a word.
GOES_ON = "##"


@dataclass(frozen=True)
class PieceVocabulary:
    """Pieces of words, and what a text is brought into before it is cut into them."""

    pieces: tuple[str, ...]  # Each at the place of its id; "" where an id has none.
    lowercase: bool
    strip_accents: bool
    space_ideographs: bool = True  # Whether each Chinese character is a word by itself.
    most_characters: int = 100  # A longer word is an unknown one.

    def id_of(self, piece: str) -> int:
        """Returns the id of a piece that is there."""
        return self.pieces.index(piece)

    def simple_form(self, character: str) -> str:
        """Returns what BERT reads in place of a character.

        White space becomes a space, control characters nothing, and punctuation gets a space on either side; accents
        and capitals go where the tokenizer was made without them.
        """
        category = unicodedata.category(character)
        if character in "\t\n\r" or category.startswith("Z"):
            return " "
        if character == "\N{REPLACEMENT CHARACTER}" or category.startswith("C"):
            return ""
        parts = unicodedata.normalize("NFD", character) if self.strip_accents else character
        kept = [part for part in parts if not (self.strip_accents and unicodedata.category(part) == "Mn")]
        forms = [part.lower() if self.lowercase else part for part in kept]
        return "".join(f" {form} " if _is_punctuation(form) else form for form in forms)


def read_piece_vocabulary(folder: str) -> PieceVocabulary:
    """Reads `tokenizer.json`, or without one `vocab.txt` and, where it is there, `tokenizer_config.json`.

    Raises:
        BackboneError: There is neither, it cannot be read, or it cuts texts in another way than WordPiece does.
    """
    place = Path(folder)
    if (place / TOKENIZER).is_file():
        return _of_tokenizer(place / TOKENIZER)
    if (place / LIST).is_file():
        settings = read_json(place / SETTINGS) if (place / SETTINGS).is_file() else {}
        lowercase = bool(settings.get("do_lower_case", True))
        lines = _text(place / LIST).split("\n")
        # Of a piece that stands there twice, the later id counts, as in Hugging Face's tokenizers.
        ids = {line.rstrip(): number for number, line in enumerate(lines[:-1] if not lines[-1] else lines)}
        return _checked(
            place / LIST, ids, lowercase, settings.get("strip_accents"), settings.get("tokenize_chinese_chars", True)
        )
    raise BackboneError(
        f"backbone.weights: {folder!r} has no {TOKENIZER} and no {LIST}; expected one of them, as Hugging Face's "
        "tokenizers write it."
    )


def read_json(path: Path) -> dict[str, Any]:
    """Reads one of the JSON files in a model's folder.

    Raises:
        BackboneError: It is not there, or holds no JSON object.
    """
    try:
        found = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise BackboneError(f"backbone.weights: {str(path)!r} cannot be read as JSON: {error}") from None
    if not isinstance(found, dict):
        raise BackboneError(
            f"backbone.weights: {str(path)!r} holds no JSON object; expected one, as Hugging Face writes."
        )
    return found


def _of_tokenizer(path: Path) -> PieceVocabulary:
    found = read_json(path)
    model, normalizer = _section(found, "model"), _section(found, "normalizer")
    kind = model.get("type", "WordPiece" if "continuing_subword_prefix" in model else None)
    if kind != "WordPiece":
        raise BackboneError(
            f"backbone.weights: {str(path)!r} cuts texts by {kind or 'a model of no type'}; expected WordPiece, as "
            "BERT and DistilBERT have it. RoBERTa's byte pairs and XLM-RoBERTa's unigrams are not supported: take a "
            "BERT- or DistilBERT-style model, or a SavedModel that takes strings as backbone.handle."
        )
    expected = {
        "normalizer.type": (normalizer.get("type"), "BertNormalizer"),
        "normalizer.clean_text": (normalizer.get("clean_text"), True),
        "pre_tokenizer.type": (_section(found, "pre_tokenizer").get("type"), "BertPreTokenizer"),
        "model.continuing_subword_prefix": (model.get("continuing_subword_prefix"), GOES_ON),
        "model.unk_token": (model.get("unk_token"), UNKNOWN),
    }
    for key, (got, wanted) in expected.items():
        if got != wanted:
            raise BackboneError(
                f"backbone.weights: {str(path)!r}, {key}: got {got!r}; expected {wanted!r}, as BERT's own tokenizer "
                "has it. Texts that are cut otherwise are not supported."
            )
    ids = dict(_section(model, "vocab"))
    for added in found.get("added_tokens") or ():
        if isinstance(added, dict):
            ids[str(added.get("content"))] = added.get("id")
    return _checked(
        path,
        ids,
        bool(normalizer.get("lowercase")),
        normalizer.get("strip_accents"),
        bool(normalizer.get("handle_chinese_chars")),
        model.get("max_input_chars_per_word", 100),
    )


def _checked(
    path: Path,
    ids: Mapping[str, Any],
    lowercase: bool,
    strip_accents: bool | None,
    space_ideographs: bool,
    most_characters: int = 100,
) -> PieceVocabulary:
    where = f"backbone.weights: {str(path)!r}"
    missing = [piece for piece in SPECIAL if piece not in ids]
    if missing:
        raise BackboneError(f"{where} lacks {', '.join(missing)}; expected a vocabulary of BERT's, which has them.")
    if ids[PADDING] != 0:
        raise BackboneError(f"{where}: {PADDING} has the id {ids[PADDING]}; expected 0, as BERT has it.")
    most = 2 * len(ids) + 1000
    wrong = [piece for piece, number in ids.items() if type(number) is not int or not 0 <= number < most]
    if wrong:
        raise BackboneError(
            f"{where}: {wrong[0]!r} has the id {ids[wrong[0]]!r}; expected a number of 0 to {len(ids) - 1}."
        )
    pieces = [""] * (1 + max(ids.values()))
    for piece, number in ids.items():
        pieces[number] = piece
    # As BERT's own tokenizer has it, accents go with capitals where nothing else is said.
    strip = lowercase if strip_accents is None else bool(strip_accents)
    return PieceVocabulary(tuple(pieces), lowercase, strip, space_ideographs, most_characters)


def _is_punctuation(form: str) -> bool:
    """Tells whether it is one character of punctuation to BERT: in ASCII, all that is neither letter nor digit."""
    if len(form) != 1:
        return False
    return not form.isalnum() if form.isascii() else unicodedata.category(form).startswith("P")


def _section(found: Any, name: str) -> dict[str, Any]:
    section = found.get(name) if isinstance(found, dict) else None
    return section if isinstance(section, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BackboneError(
            f"backbone.weights: {str(path.parent)!r} has no {path.name}; expected Hugging Face's layout."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BackboneError(f"backbone.weights: {str(path)!r} cannot be read as UTF-8 text: {error}") from None
