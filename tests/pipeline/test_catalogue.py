"""The catalogue as people see it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from finetune.errors import BackboneError
from finetune_cli.backbones import markdown, print_backbones, print_blocks
from trainer_module.backbones.figures import figures
from trainer_module.backbones.sources import catalogue

ROOT = Path(__file__).parents[2]


def printed(show) -> str:
    console = Console(file=io.StringIO(), width=200)
    show(console)
    return console.file.getvalue()


def test_the_page_in_the_docs_is_the_one_of_the_code():
    assert (ROOT / "docs" / "backbones.md").read_text() == markdown(), "run `make docs`"


def test_every_backbone_of_pictures_has_its_figures_and_no_other():
    assert set(figures()) == {name for name, record in catalogue().items() if record.modality == "image"}


def test_the_table_lists_size_range_parameters_and_blocks_of_each():
    lines = printed(print_backbones).splitlines()
    assert len(lines) == 1 + len(catalogue())
    (line,) = [line for line in lines if line.startswith("MobileNetV2 ")]
    for expected in ("224", "32", "-1 to 1", "2,257,984", "7 x 7 x 1280", "18: stem ... block_16", "Apache-2.0"):
        assert expected in line


def test_the_blocks_of_one_are_listed_from_input_to_output():
    lines = printed(lambda console: print_blocks("vgg16", console)).split()
    assert lines[-6:] == ["stem", "block1", "block2", "block3", "block4", "block5"]
    with pytest.raises(BackboneError, match="Did you mean"):
        print_blocks("vgg_1", Console())
