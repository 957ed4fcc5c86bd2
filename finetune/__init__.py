"""The ground that everything stands on: config, errors, events, the choice of Keras 2. It imports nothing of ours."""

import os

from finetune.cpus import limit_threads
from finetune.lazy_packages import make_lazy

# The TensorFlow ecosystem around TFX is on Keras 2 (`tf_keras`). TensorFlow reads this once, when it is imported, and
# everything of ours imports this package first: this is the only place that chooses.
os.environ["TF_USE_LEGACY_KERAS"] = "1"

# Several processes share a GPU (Transform, Trainer, Evaluator, a notebook beside them): take memory as it is needed,
# not all of it at once. It must be said before TensorFlow starts, wherever that is.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

# With the kernels of oneDNN an example gives the same bits wherever it stands in a batch, so that what an earlier run
# kept stands for it. TensorFlow takes them by itself only on processors with instructions for networks (VNNI).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# Libraries of linear algebra read it when they are imported, TensorFlow when it first computes.
limit_threads()
make_lazy()
