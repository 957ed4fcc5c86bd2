"""Folders in Hugging Face's layout: what fits together, and what is refused before TensorFlow is imported."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hugging_face_folder import BERT, DISTILBERT, PIECES, save_encoder, save_tokenizer
from safetensors.numpy import load_file, save_file

from finetune.config import BackboneConfig
from finetune.errors import BackboneError
from pipeline.checks import modality_fits
from trainer_module.backbones.hugging_face import WEIGHTS, folder_problems, read_architecture, tensor_names
from trainer_module.backbones.sources import source_of
from transforms.piece_vocabulary import read_piece_vocabulary


@pytest.mark.parametrize("config", [BERT, DISTILBERT])
@pytest.mark.parametrize("prefix", ["", "model_type"])
def test_a_whole_folder_is_taken(tmp_path, config, prefix):
    folder = save_encoder(tmp_path, config, prefix and f"{config['model_type']}.")
    assert folder_problems(folder, 32) == []
    architecture = read_architecture(folder)
    names = tensor_names(folder, architecture)
    assert [layer for layer, variable in names if variable in ("embeddings", "kernel", "gamma")] == [
        module.layer for module in architecture.modules
    ]
    assert len(set(names.values())) == len(names)


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_tensors(folder: Path, change) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


def pickled_alone(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")


def in_parts(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / f"{WEIGHTS}.index.json").write_text("{}")


def other_tokenizer(folder: Path) -> None:
    save_tokenizer(folder)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model": {"type": "BPE", "vocab": {}, "merges": []}}))


def cut_off(folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])


def other_pieces(folder: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join([*PIECES, "more"]), encoding="utf-8")


BAD = {
    "no config": (lambda f: (f / "config.json").unlink(), r"has no config\.json; expected Hugging Face's layout"),
    "broken config": (lambda f: (f / "config.json").write_text("{"), r"config\.json' cannot be read as JSON"),
    "no object": (lambda f: (f / "config.json").write_text("[]"), r"holds no JSON object"),
    "no vocabulary": (lambda f: (f / "vocab.txt").unlink(), r"has no tokenizer\.json and no vocab\.txt"),
    "binary vocabulary": (lambda f: (f / "vocab.txt").write_bytes(b"\xff\xfe"), r"cannot be read as UTF-8"),
    "no specials": (lambda f: (f / "vocab.txt").write_text("a\nb\n"), r"lacks \[PAD\], \[UNK\], \[CLS\], \[SEP\]"),
    "padding elsewhere": (
        lambda f: (f / "vocab.txt").write_text("\n".join(PIECES[1:] + PIECES[:1])),
        rf"\[PAD\] has the id {len(PIECES) - 1}; expected 0",
    ),
    "other vocabulary": (other_pieces, rf"has {len(PIECES) + 1} pieces; config\.json says vocab_size: {len(PIECES)}"),
    "byte pairs": (other_tokenizer, r"cuts texts by BPE; expected WordPiece.*RoBERTa"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), r"has no model\.safetensors\.$"),
    "pickled weights": (pickled_alone, r"has no model\.safetensors\. pytorch_model\.bin is pickled"),
    "weights in parts": (in_parts, r"several files are not supported: save the model with a larger"),
    "cut off": (cut_off, r"cannot be read as safetensors: .* It may be cut off"),
    "empty file": (lambda f: (f / WEIGHTS).write_bytes(b""), r"cannot be read as safetensors"),
    "header too long": (lambda f: (f / WEIGHTS).write_bytes(b"\xff" * 64), r"cannot be read as safetensors"),
    "other shapes": (
        lambda f: change_config(f, intermediate_size=8),
        r"(?s)encoder\.layer\.0\.intermediate\.dense\.weight: got 32 x 16; expected 8 x 16.*Take all files from one",
    ),
    "too few layers": (
        lambda f: change_config(f, num_hidden_layers=3),
        r"(?s)encoder\.layer\.2\.attention\.self\.query\.weight: absent; expected 16 x 16.*and 10 more",
    ),
    "whole numbers": (
        lambda f: change_tensors(f, lambda t: t.update({"embeddings.LayerNorm.weight": np.ones(16, np.int64)})),
        r"embeddings\.LayerNorm\.weight: got numbers of type I64; expected F32, F16, BF16",
    ),
    "roberta": (
        lambda f: change_config(f, model_type="roberta"),
        r"got 'roberta'; expected bert or distilbert\. RoBERTa",
    ),
    "other kind": (
        lambda f: change_config(f, model_type="t5"),
        r"model_type: got 't5'.*Other encoders have other layers",
    ),
    "odd heads": (lambda f: change_config(f, num_attention_heads=3), r"a width of 16 for 3 heads"),
    "no size": (lambda f: change_config(f, hidden_size="16"), r"hidden_size: got '16'; expected a number of 1 or more"),
    "relative": (
        lambda f: change_config(f, position_embedding_type="relative_key"),
        r"position_embedding_type: got 'relative_key'; expected 'absolute'",
    ),
    "swish": (lambda f: change_config(f, hidden_act="silu"), r"hidden_act: got 'silu'; expected 'gelu' or"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_folder_that_does_not_fit_together_is_refused(tmp_path, bad):
    spoil, message = BAD[bad]
    folder = save_encoder(tmp_path)
    spoil(tmp_path)
    config = BackboneConfig(name="BERT", weights=folder, text={"max_pieces": 32})
    (problem,) = source_of(config).file_problems(config)
    assert problem.startswith("backbone.weights: ")
    assert re.search(message, problem), problem


def test_texts_longer_than_the_encoder_takes_are_refused(tmp_path):
    assert "max_pieces: got 33; " in folder_problems(save_encoder(tmp_path), 33)[0]


def test_what_the_config_alone_tells_is_refused():
    config = BackboneConfig(name="BERT", weights="random", text={"preprocessor": "p"})
    problems = source_of(config).problems(config)
    assert [problem.split(":")[0] for problem in problems] == ["backbone.text.preprocessor", "backbone.text.vocabulary"]
    (problem,) = source_of(config).problems(BackboneConfig(name="BERT", weights="imagenet"))
    assert "got 'imagenet'; BERT has none" in problem


def test_words_are_not_left_out_of_pieces(tmp_path):
    backbone = {"name": "BERT", "weights": save_encoder(tmp_path)}
    (problem,) = modality_fits({"backbone": backbone, "augmentation": {"word_dropout": 0.1}})
    assert problem == "augmentation.word_dropout: got 0.1; it spoils what BERT takes. Leave it out"


@pytest.mark.parametrize(
    ("normalizer", "lowercase", "strips"),
    [
        ({}, True, True),
        ({"lowercase": False}, False, False),
        ({"lowercase": False, "strip_accents": True}, False, True),
    ],
)
def test_a_tokenizer_says_what_becomes_of_capitals_and_accents(tmp_path, normalizer, lowercase, strips):
    (tmp_path / "vocab.txt").write_text("not read")
    vocabulary = read_piece_vocabulary(save_tokenizer(tmp_path, **normalizer))
    assert list(vocabulary.pieces) == PIECES
    assert (vocabulary.lowercase, vocabulary.strip_accents) == (lowercase, strips)
    form = "E" if strips else "É"
    assert vocabulary.simple_form("É") == (form.lower() if lowercase else form)


def test_a_list_of_pieces_may_be_cased(tmp_path):
    save_encoder(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert read_piece_vocabulary(str(tmp_path)).simple_form("É") == "É"


def test_a_text_that_is_not_cleaned_is_refused(tmp_path):
    with pytest.raises(BackboneError, match=r"normalizer\.clean_text: got False; expected True"):
        read_piece_vocabulary(save_tokenizer(tmp_path, clean_text=False))


@pytest.mark.parametrize("number", [-1, 10**9, "7", None])
def test_ids_that_are_none_are_refused(tmp_path, number):
    save_tokenizer(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["boat"] = number
    path.write_text(json.dumps(content))
    with pytest.raises(BackboneError, match=rf"'boat' has the id {number!r}; expected a number of 0 to"):
        read_piece_vocabulary(str(tmp_path))


def test_refusing_needs_no_tensorflow(tmp_path):
    code = (
        "import sys\n"
        "from finetune.config import BackboneConfig\n"
        "from trainer_module.backbones.sources import source_of\n"
        f"config = BackboneConfig(name='BERT', weights={save_encoder(tmp_path)!r}, text={{'max_pieces': 32}})\n"
        "source = source_of(config)\n"
        "assert not source.problems(config) + source.file_problems(config)\n"
        "assert source.layers(config)[-1].name == 'pool'\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
