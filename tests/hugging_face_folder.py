"""Small encoders in Hugging Face's layout with random weights, made for tests. No TensorFlow here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from trainer_module.backbones.hugging_face import WEIGHTS, read_architecture
from transforms.piece_vocabulary import SPECIAL

WORDS = ["boat", "sail", "wave", "harbour", "fish", "cloud", "wing", "plane", "wind", "bird", "the", "a", "of", "and"]
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
PIECES = list(
    dict.fromkeys([*SPECIAL, *WORDS, "##ing", "##s", *_LETTERS, *(f"##{letter}" for letter in _LETTERS), *",.!?'-#水<"])
)
# What their reader asks for of each added token.
_OF_ADDED = ("single_word", "lstrip", "rstrip", "normalized")
BERT = {
    "model_type": "bert",
    "vocab_size": len(PIECES),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
}
DISTILBERT = {
    "model_type": "distilbert",
    "vocab_size": len(PIECES),
    "dim": 16,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_dim": 32,
    "max_position_embeddings": 32,
    "activation": "gelu",
}


def save_encoder(folder: Path, config: dict = BERT, prefix: str = "", dtype: type = np.float32) -> str:
    """Writes config, vocabulary and weights, of which those of each seed are the same; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    random = np.random.default_rng(0)
    tensors = {}
    for module in read_architecture(str(folder)).modules:
        for variable, names, shape in module.tensors():
            value = random.normal(1 if variable == "gamma" else 0, 0.2, shape)
            tensors[prefix + names[-1]] = value.astype(np.float32).astype(dtype)
    tensors |= {"embeddings.position_ids": np.arange(32)[np.newaxis], "cls.predictions.bias": np.zeros(3, np.float32)}
    save_file(tensors, folder / WEIGHTS)
    return str(folder)


def save_tokenizer(folder: Path, **normalizer: bool | None) -> str:
    """Writes `tokenizer.json` in place of `vocab.txt`; returns the folder."""
    (folder / "vocab.txt").unlink(missing_ok=True)
    content = {
        "added_tokens": [
            {"id": PIECES.index(piece), "content": piece, "special": True} | dict.fromkeys(_OF_ADDED, False)
            for piece in SPECIAL
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
            **normalizer,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "BertProcessing",
            "cls": ["[CLS]", PIECES.index("[CLS]")],
            "sep": ["[SEP]", PIECES.index("[SEP]")],
        },
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {piece: number for number, piece in enumerate(PIECES)},
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return str(folder)
