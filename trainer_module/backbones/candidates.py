"""The networks that `backbone.name: auto` ranks: those that the config lists, or those of a folder of weights.

What a file in such a folder is of, its name says, as Keras names its own. No TensorFlow here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from finetune.config.backbone import BackboneConfig, Scaling
from finetune.errors import BackboneError, ConfigError
from trainer_module.backbones.hugging_face import CONFIG
from trainer_module.backbones.keras_config import read_config
from trainer_module.backbones.sources import catalogue, record_of, source_of
from trainer_module.backbones.sources.word_vectors import WordVectors

KERAS_CACHE = Path("~/.keras/models")
# How Keras writes the widths of MobileNet into names of files.
_WIDTHS = {"1_0": 1.0, "7_5": 0.75, "5_0": 0.5, "2_5": 0.25}
# What networks in whole files, which Keras does not build, were trained on, by the beginning of their names.
_RANGES: dict[str, Scaling] = {"efficientnet_lite": "minus_one_to_one"}
# Those that are shown log-mel patches as `backbone.audio` has them by default.
_OF_SOUNDS = ("yamnet",)
_NOISE = re.compile(r"weights|tf_dim_ordering|tf_kernels|no_?top|float|(?<![a-z])tf(?![a-z])|_v2$")


@dataclass(frozen=True)
class Found:
    """What was found in a folder of weights."""

    candidates: tuple[BackboneConfig, ...]
    left_out: dict[str, str]  # Why a file is none, by its name.


def candidates_of(config: BackboneConfig, modality: str) -> tuple[BackboneConfig, ...]:
    """Returns the networks to rank, each as it would stand in the config.

    Args:
        config: Whose name is `auto`.
        modality: What the data are: of a folder of weights, those for others are left out.

    Raises:
        ConfigError: There is none, or one that is listed is for another modality.
    """
    listed = [BackboneConfig.model_validate(each.model_dump()) for each in config.candidates]
    if not listed:
        folder = Path(config.weights_dir) if config.weights_dir else KERAS_CACHE.expanduser()
        found = in_folder(folder, modality)
        if not found.candidates:
            raise ConfigError([_nothing(config, folder, found)])
        return found.candidates
    wrong = [
        f"backbone.candidates[{number}]: {record_of(each).name} is for {record_of(each).modality}, and the data are "
        f"{modality}; leave it out"
        for number, each in enumerate(listed)
        if record_of(each).modality != modality
    ]
    if wrong:
        raise ConfigError(wrong)
    return tuple(listed)


def in_folder(folder: Path, modality: str) -> Found:
    """Reads a folder of weights, in the order of the names of its files."""
    found: list[BackboneConfig] = []
    left_out: dict[str, str] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        config = _of_file(path)
        if isinstance(config, str):
            left_out[path.name] = config
        elif record_of(config).modality != modality:
            left_out[path.name] = f"it is for {record_of(config).modality}, and the data are {modality}"
        else:
            found.append(config)
    return Found(tuple(found), left_out)


def label_of(config: BackboneConfig) -> str:
    """Names a candidate in one word or two, such as `MobileNetV2 alpha=0.35 at 224`."""
    record = record_of(config)
    arguments = [f"{name}={value}" for name, value in config.arguments.items()]
    name = record.name.removesuffix(".h5").removesuffix(".keras")
    size = [f"at {record.image_size}"] if record.image_size else []
    # Of a name that stands for a kind of models, the folder says which.
    folder = [config.local_path.name] if config.name and config.local_path and config.local_path.is_dir() else []
    pooled = [f"{config.pooled_blocks} blocks"] if config.pooled_blocks > 1 else []
    return " ".join([name, *folder, *arguments, *size, *pooled])


def _of_file(path: Path) -> BackboneConfig | str:
    """Returns the config of the network in a file or a model's folder, or why there is none."""
    name = path.name.casefold()
    if (path / CONFIG).is_file():
        config = BackboneConfig(name="BERT", weights=str(path))
        return "; ".join(source_of(config).file_problems(config)) or config
    if path.suffix == ".json" or name.endswith((".txt", ".vec")):
        is_vectors = any(fold in name for fold in ("glove", "word2vec", "fasttext", "vectors"))
        return _valid({"name": _vectors_name(name), "weights": str(path)}) if is_vectors else "its name says no network"
    if path.suffix not in (".h5", ".hdf5", ".keras"):
        return "it is no file of weights that Keras writes"
    try:
        whole = read_config(path)
    except BackboneError as error:
        return str(error)
    if whole is None:
        return _of_weights(path)
    if name.startswith(_OF_SOUNDS):
        return _valid({"file": str(path), "modality": "audio"})
    scaling = next((scaling for start, scaling in _RANGES.items() if name.startswith(start)), None)
    shape = whole.input_shape or ()
    if scaling is None or len(shape) != 4 or shape[3] != 3 or not shape[1]:
        return (
            "it is a whole network of which nothing says how pixels are scaled; list it in backbone.candidates as "
            "`file`, with `image_size` and `scaling`"
        )
    return _valid({"file": str(path), "scaling": scaling, "image_size": shape[1]})


def _of_weights(path: Path) -> BackboneConfig | str:
    """Reads names such as `mobilenet_v2_0.35_224_no_top.h5` and those that Keras gives what it downloads."""
    stem = path.name.casefold().replace("-", "_").removesuffix(path.suffix).removesuffix(".weights")
    if not re.search(r"no_?top", stem):
        return "its name does not say `no_top`: weights with their top do not fit"
    words = [word for word in re.split("_+", _NOISE.sub("", stem).strip("_")) if word]
    names = {name.casefold(): name for name in catalogue()}
    for count in range(len(words), 0, -1):
        start = "".join(words[:count])
        known = names.get(start) or names.get(start.removesuffix("v1"))
        if known:
            break
    else:
        return "its name says no network that `finetune backbones` lists"
    rest = words[count:]
    arguments, sizes = {}, [int(word) for word in rest if re.fullmatch(r"\d{2,3}", word)]
    width = "_".join(rest[:2]) if "_".join(rest[:2]) in _WIDTHS else next((w for w in rest if "." in w), "")
    if width:
        arguments["alpha"] = _WIDTHS.get(width) or float(width)
    raw = {"name": known, "weights": str(path), "arguments": arguments if arguments != {"alpha": 1.0} else {}}
    return _valid({**raw, "image_size": sizes[0] if sizes else None})


def _valid(raw: dict) -> BackboneConfig | str:
    try:
        config = BackboneConfig.model_validate(raw)
        record_of(config)
    except (ValueError, BackboneError) as error:
        return str(error)
    return config


def _vectors_name(name: str) -> str:
    """Returns the name in the catalogue of the vectors in a file."""
    known = [each for each in WordVectors.records if each.casefold() in name]
    return known[0] if known else next(iter(WordVectors.records))


def _nothing(config: BackboneConfig, folder: Path, found: Found) -> str:
    key = "backbone.weights_dir" if config.weights_dir else "backbone.name: auto"
    if not folder.is_dir():
        return (
            f"{key}: there is no folder {folder}; expected one with weights (backbone.weights_dir=FOLDER), or "
            "`backbone.candidates`"
        )
    reasons = [f"{name}: {why}" for name, why in sorted(found.left_out.items())]
    return f"{key}: {folder} holds no weights of a known network. " + ("; ".join(reasons) or "It is empty") + "."
