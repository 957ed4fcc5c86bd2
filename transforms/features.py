"""Names of the features that travel through the pipeline. No TensorFlow here."""

# Raw: what ExampleGen writes and what a serving request holds.
IMAGE = "image"
AUDIO = "audio"
TEXT = "text"
# Both of a picture with words: see `transforms.sides`.
IMAGE_TEXT = "image_text"
LABEL = "label"
# Raw and transformed: the objects in a picture, where the task asks where they are (`transforms.objects`).
BOXES = "boxes"
# The same: which class each pixel of a picture is of, where the task asks for that (`transforms.masks`).
MASK = "mask"
PATH = "path"
SHA256 = "sha256"
# What several examples share, such as a patient: see `data.group_column`.
GROUP = "group"
# Name of the span that an example came with, where `data.root` has a place for one: see `finetune.spans`.
SPAN = "span"

# Stands between the texts of a pair in the raw feature: ASCII's unit separator.
BETWEEN_TEXTS = "\x1f"

# Transformed: what Transform writes and what the Trainer reads.
PIXELS = "pixels"
MEL = "mel"
WORD_IDS = "word_ids"
PIECE_IDS = "piece_ids"
CLEAN_TEXT = "clean_text"
# Which sides of a picture with words there are.
THERE = "there"
LABEL_INDEX = "label_index"
# What the Evaluator compares several labels with: made of `label_index`, not written.
LABELS = "labels"
KEY = "key"

# Vocabulary of class names inside the Transform graph; the line number is the label index.
CLASSES = "classes"
