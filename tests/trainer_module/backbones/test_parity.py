"""Training and serving see the same: raw pictures through the exported model and through the Trainer's own path."""

from __future__ import annotations

import functools
import io
import warnings

import numpy as np
import pytest
from PIL import Image

tf = pytest.importorskip("tensorflow")
tft = pytest.importorskip("tensorflow_transform")

import tensorflow_transform.beam as tft_beam  # noqa: E402
from saved_models import save_for_hub, vector_network  # noqa: E402
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io, schema_utils  # noqa: E402

from finetune.config import BackboneConfig, HeadConfig, TrainingConfig  # noqa: E402
from trainer_module.backbones.model import build_network  # noqa: E402
from trainer_module.examples.input_data import evaluation_batches, load_split  # noqa: E402
from trainer_module.export.export import ServedModel, export_model  # noqa: E402
from trainer_module.mirror_images import averaged  # noqa: E402
from trainer_module.recipe import make_deterministic  # noqa: E402
from trainer_module.tasks import TASKS  # noqa: E402
from transforms.inputs import ImageInputs  # noqa: E402
from transforms.preprocessing import preprocessing_fn  # noqa: E402
from transforms.tasks import TASKS as TRANSFORM_TASKS  # noqa: E402
from transforms.tasks import Labels  # noqa: E402

pytestmark = pytest.mark.by_test

SIZE = 32
RAW = {name: tf.io.FixedLenFeature([], tf.string) for name in ("image", "label", "sha256")}


def pictures() -> dict[str, bytes]:
    """Files of all kinds, by what is odd about them."""
    noise = np.random.default_rng(0).integers(0, 256, (37, 53, 4)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6

    def file(pixels: np.ndarray, mode: str, kind: str, **options) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
        return buffer.getvalue()

    return {
        "odd size": file(noise[..., :3], "RGB", "PNG"),
        "jpeg": file(noise[..., :3], "RGB", "JPEG"),
        "grey": file(noise[..., :3], "L", "JPEG"),
        "rgba": file(noise[::-1], "RGBA", "PNG"),
        "cmyk": file(noise[..., :3], "CMYK", "JPEG"),
        "turned": file(noise[..., :3], "RGB", "JPEG", exif=exif),
        "one pixel": file(noise[:1, :1, :3], "RGB", "PNG"),
        "a line": file(noise[:1, :, :3], "RGB", "BMP"),
        "palette": file(noise[..., :3], "P", "GIF"),
        "large": file(np.tile(noise[..., :3], (9, 7, 1)), "RGB", "JPEG"),
    }


@pytest.fixture(scope="module")
def transformed(tmp_path_factory):
    """The Transform graph, and the split that it wrote, as in a pipeline."""
    folder = tmp_path_factory.mktemp("transform")
    rows = [
        {"image": data, "label": f"class{index % 3}".encode(), "sha256": name.encode()}
        for index, (name, data) in enumerate(pictures().items())
    ]
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(RAW))
    preprocess = functools.partial(
        preprocessing_fn, custom_config={"modality": "image", "image_size": SIZE, "task": "single_label"}
    )
    with warnings.catch_warnings(), tft_beam.Context(temp_dir=str(folder / "temporary")):
        warnings.simplefilter("ignore")
        (data, transformed_metadata), graph = (rows, metadata) | tft_beam.AnalyzeAndTransformDataset(preprocess)
        graph | tft_beam.WriteTransformFn(str(folder / "graph"))
    metadata_io.write_metadata(metadata, str(folder / "graph" / "metadata"))
    coder = tft.coders.ExampleProtoCoder(transformed_metadata.schema)
    with tf.io.TFRecordWriter(str(folder / "val.gz"), "GZIP") as writer:
        for row in data:
            writer.write(coder.encode(row))
    return tft.TFTransformOutput(str(folder / "graph")), str(folder / "val.gz")


@pytest.fixture(scope="module")
def configs(tmp_path_factory, real_data) -> dict[str, BackboneConfig]:
    """One backbone of each kind; of MobileNetV2, random weights would give next to nothing."""
    folder = tmp_path_factory.mktemp("kinds")
    weights = real_data / "weights" / "mobilenet_v2_0.35_224_no_top.h5"
    vector_network(SIZE).save(folder / "model.keras")
    handle = save_for_hub(vector_network(SIZE), folder / "hub")
    return {
        "own": BackboneConfig(name="SmallCNN", weights="random"),
        "keras application": BackboneConfig(
            name="MobileNetV2", weights=str(weights), arguments={"alpha": 0.35}, image_size=SIZE
        ),
        "hub": BackboneConfig(handle=str(handle), image_size=SIZE),
        "keras file": BackboneConfig(
            file=str(folder / "model.keras"), cut_at="block_1_relu", image_size=SIZE, scaling="imagenet_mean_std"
        ),
    }


@pytest.mark.parametrize("looks", ["once", "at both mirror images"])
@pytest.mark.parametrize("kind", ["own", "keras application", "hub", "keras file"])
def test_what_is_served_equals_what_is_trained_on(kind, looks, transformed, configs, tmp_path):
    transform_output, records = transformed
    make_deterministic(1)
    training = TrainingConfig(head=HeadConfig(units=[], dropout=0))
    _, model = build_network(configs[kind], training, classes=3)
    if looks != "once":
        model = averaged(model)
    inputs = ImageInputs(SIZE)
    labels = Labels(TRANSFORM_TASKS["single_label"], 3)
    split = load_split([records], inputs, labels)
    batches = [model(value, training=False) for value, _ in evaluation_batches(split, 4)]
    trained = dict(zip(split.keys, np.concatenate(batches), strict=True))
    assert len({row.tobytes() for row in trained.values()}) == len(trained), "pictures must differ in what they give"

    export_model(ServedModel(model, transform_output, inputs, labels, TASKS["single_label"], {}), str(tmp_path), {})
    serve = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    served = serve(tf.constant(list(pictures().values())))["probabilities"].numpy()
    for name, row in zip(pictures(), served, strict=True):
        np.testing.assert_allclose(row, trained[name], rtol=0, atol=1e-5, err_msg=name)
