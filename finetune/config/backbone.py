"""Sections of a config: which pretrained network is adapted, and how texts and sounds become what it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from finetune.config.base import LocalPath, Section, UrlOrPath

Pooling = Literal["cls", "mean", "max"]
Scaling = Literal["none", "zero_to_one", "minus_one_to_one", "imagenet_bgr_mean", "imagenet_mean_std"]


# In place of a name: the wish that candidates are ranked on the data.
AUTO = "auto"


class TextConfig(Section):
    """How texts become what the backbone takes: ids of words or of word pieces, or a preprocessor's output."""

    max_words: int = Field(128, ge=1, le=4096, description="table: of a text; those after them are left out")
    unknown_words: Literal["skip", "average"] | Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10_000,
        description="table: other words: a number gives them that many vectors to share by their hash, which start at "
        "the mean of all and are learned; `average` gives all of them the mean, `skip` leaves them out",
    )
    vocabulary: LocalPath | None = Field(
        None,
        description="table whose words are known, or for BERT the folder with `config.json` and the tokenizer, when "
        "`backbone.weights` is `random`; default: the weights",
    )
    max_pieces: int = Field(
        128,
        ge=3,
        le=4096,
        description="BERT: word pieces of a text, with the two at its ends; those after them are left out. Short texts "
        "cost little whatever it is",
    )
    pooling: Pooling = Field(
        "mean",
        description="BERT: what the head reads of a text: the vector of its first piece, `[CLS]`; or the mean of those "
        "of all pieces, as sentence encoders are trained with; or their maximum",
    )
    preprocessor: UrlOrPath | None = Field(
        None,
        description="handles of BERT style: URL or folder of the SavedModel that makes ids and masks of texts",
    )


class AudioConfig(Section):
    """How sounds become log-mel patches; the defaults are YAMNet's (Hershey et al. 2017, as its code has it)."""

    sample_rate: int = Field(16_000, ge=1000, le=192_000, description="Hz; sounds of other rates are resampled")
    window_ms: float = Field(25.0, gt=0, le=1000, description="a frame is the spectrum of so much, under a Hann window")
    hop_ms: float = Field(10.0, gt=0, le=1000, description="so much later the next frame begins")
    bands: int = Field(64, ge=1, le=1024, description="mel bands of a frame: width of the backbone's input")
    low_hz: float = Field(125.0, ge=0, description="where the lowest band begins")
    high_hz: float = Field(7500.0, gt=0, description="where the highest band ends; at most half of `sample_rate`")
    log_offset: float = Field(0.001, gt=0, description="added to each band before the logarithm")
    patch_frames: int = Field(96, ge=1, le=10_000, description="frames of a patch: height of the backbone's input")
    patch_hop: int = Field(48, ge=1, le=10_000, description="so many frames later the next patch of a sound begins")
    max_patches: int = Field(
        10,
        ge=1,
        le=1000,
        description="of a sound; what comes after them is left out. Training costs as much for each sound",
    )

    @model_validator(mode="after")
    def _bands_are_in_order(self) -> Self:
        if not self.low_hz < self.high_hz <= self.sample_rate / 2:
            raise ValueError(
                f"got bands from {self.low_hz:g} to {self.high_hz:g} Hz at {self.sample_rate:,} samples a second; "
                f"expected low_hz < high_hz <= {self.sample_rate / 2:g}"
            )
        return self


class CandidateConfig(Section):
    """One pretrained network: `name`, `handle` or `file`."""

    name: str | None = Field(None, min_length=1, description="a name that `finetune backbones` lists")
    weights: LocalPath | None = Field(
        None,
        description="of `name`: `imagenet`, `random`, or the path of a weights file without its top; of `BERT`: a "
        "folder in Hugging Face's layout",
    )
    arguments: dict[str, bool | int | float | str] = Field(
        {}, description="of `name`: further arguments of the constructor, such as `alpha: 0.35`"
    )
    handle: UrlOrPath | None = Field(
        None, description="TF Hub or Kaggle Models: a URL, or the folder of a SavedModel; `finetune inspect` shows it"
    )
    output: str | None = Field(None, min_length=1, description="of `handle`: the output to take, where it has several")
    file: LocalPath | None = Field(None, description="a Keras model: `.keras`, `.h5`, or the folder of a SavedModel")
    cut_at: str | None = Field(
        None, min_length=1, description="of `file`: the layer whose output the head takes; default: the last"
    )
    pooled_blocks: int = Field(
        1,
        ge=1,
        description="of pictures: from so many blocks, counted from the output, the head takes what each ends with, "
        "averaged over its places; default: the output alone",
    )
    modality: str = Field(
        "image", description="of `handle` and `file`: what it is shown, `image` or `text`; of `file` also `audio`"
    )
    scaling: Scaling | None = Field(
        None,
        description="of `handle` and `file`: range of the input; `none` is 0 to 255. Default of `handle`: "
        "`zero_to_one`, as TF Hub's common signature for images has it",
    )
    image_size: int | None = Field(
        None, ge=8, le=4096, description="pixels; default of `name`: the backbone's own. The others need it"
    )
    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="of the weights: the run stops when they have another. The summary shows that of the last run",
    )
    text: TextConfig = TextConfig()
    audio: AudioConfig = AudioConfig()
    allow_unsafe: bool = Field(
        False, description="of `handle` and `file`: load models that can run code or touch files, such as Lambda layers"
    )

    @field_validator("arguments")
    @classmethod
    def _arguments_are_not_ours(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        ours = {"weights", "include_top", "input_shape", "input_tensor", "pooling", "classes", "classifier_activation"}
        taken = sorted(ours & set(arguments)) + sorted({"include_preprocessing"} & set(arguments))
        if taken:
            raise ValueError(f"{', '.join(taken)} is set by the pipeline; leave it out")
        return arguments

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.is_open or self.is_made_of_others:
            return self
        kinds = [kind for kind in ("name", "handle", "file") if getattr(self, kind)]
        if len(kinds) != 1:
            raise ValueError(
                f"expected exactly one of `name`, `handle` and `file`, and got {' and '.join(kinds) or 'none of them'}"
            )
        foreign = {
            "name": ("handle", "output", "file", "cut_at", "scaling", "allow_unsafe"),
            "handle": ("weights", "arguments", "cut_at"),
            "file": ("weights", "arguments", "output"),
        }[kinds[0]]
        wrong = [key for key in foreign if getattr(self, key)]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} does not go with `{kinds[0]}`; leave it out")
        if self.name and not self.weights:
            raise ValueError(f"weights: missing; expected {CandidateConfig.model_fields['weights'].description}")
        if self.sha256 and self.weights == "random":
            raise ValueError("sha256: random weights have none; leave it out")
        return self

    @property
    def is_open(self) -> bool:
        """Whether a ranking of candidates is still to say which network it is."""
        return False

    @property
    def is_made_of_others(self) -> bool:
        """Whether other networks are all that it has."""
        return False

    @property
    def source(self) -> str:
        """Where the weights come from: a path, a URL, `imagenet` or `random`."""
        source = self.file or self.handle or self.weights
        assert source is not None
        return source

    @property
    def local_path(self) -> Path | None:
        """The file or folder on this machine that holds the weights; None for a URL, `imagenet` and `random`."""
        return None if self.source in ("imagenet", "random") or "://" in self.source else Path(self.source)


class BackbonesConfig(Section):
    """In place of `backbone`, for pictures with words: one network of each side, with the keys of `backbone`."""

    image: CandidateConfig = Field(description="the network of pictures", json_schema_extra={"keys_of": "backbone"})
    text: CandidateConfig = Field(description="the network of texts", json_schema_extra={"keys_of": "backbone"})

    @field_validator("image", "text")
    @classmethod
    def _networks_are_named(cls, side: CandidateConfig) -> CandidateConfig:
        if side.name and side.name.casefold() == AUTO:
            raise ValueError("got `name: auto`, which ranks networks by themselves; expected the name of one")
        return side


class BackboneConfig(CandidateConfig):
    """The pretrained network: `name`, `handle` or `file`; or `name: auto`, which ranks candidates on your data."""

    # What the section `backbones` says: a network that is made of two.
    sides: BackbonesConfig | None = Field(None, json_schema_extra={"internal": True})

    candidates: list[CandidateConfig] = Field(
        [], description="of `name: auto`: networks to rank, each with the keys of `backbone`; default: `weights_dir`"
    )
    weights_dir: LocalPath | None = Field(
        None,
        description="of `name: auto`: folder of weights whose file names say which networks they are of; default: "
        "Keras' own, ~/.keras/models",
    )
    max_latency_ms: float | None = Field(
        None, gt=0, description="of `name: auto`: most time that one example may take, measured on this machine"
    )
    max_size_mb: float | None = Field(None, gt=0, description="of `name: auto`: most room that the weights may take")

    @property
    def is_open(self) -> bool:
        """Whether a ranking of candidates is still to say which network it is."""
        return self.name is not None and self.name.casefold() == AUTO

    @property
    def is_made_of_others(self) -> bool:
        """Whether the section `backbones` says what it is."""
        return self.sides is not None

    @property
    def of_sides(self) -> dict[str, CandidateConfig]:
        """The networks that this one is made of, by what they are shown; empty for most."""
        return {side: getattr(self.sides, side) for side in type(self.sides).model_fields} if self.sides else {}

    @property
    def source(self) -> str:
        """Where the weights come from; of two networks, both places."""
        return " and ".join(each.source for each in self.of_sides.values()) or super().source

    @property
    def local_path(self) -> Path | None:
        """The file or folder on this machine that holds the weights; None also where two networks have one each."""
        return None if self.sides else super().local_path

    @model_validator(mode="after")
    def _auto_alone_has_candidates(self) -> Self:
        ours = ("candidates", "weights_dir", "max_latency_ms", "max_size_mb")
        given = [key for key in type(self).model_fields if key != "name" and getattr(self, key) != _default(key)]
        wrong = [key for key in given if (key in ours) != self.is_open]
        if wrong and self.is_open:
            raise ValueError(
                f"{', '.join(wrong)} does not go with `name: auto`; give it with each of `candidates`, or leave it out"
            )
        if wrong:
            raise ValueError(f"{', '.join(wrong)} goes with `name: auto` alone; leave it out")
        if self.candidates and self.weights_dir:
            raise ValueError("expected at most one of `candidates` and `weights_dir`")
        return self


def _default(key: str) -> Any:
    return BackboneConfig.model_fields[key].default
