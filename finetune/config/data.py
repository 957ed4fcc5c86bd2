"""The section of a config that says what is trained on, and how it is split."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from finetune.config.base import BucketOrPath, LocalPath, Section
from finetune.spans import SpanPattern, is_pattern, seconds_of

SPLITS = ("train", "val", "test")
ActiveAction = Literal["warn", "drop", "stop"]


def _yaml_off(value: Any) -> Any:
    """YAML reads a bare `off` as false."""
    return "off" if value is False else value


def _a_time(text: str) -> str:
    seconds_of(text)
    return text


def _span_names(value: Any) -> Any:
    """Takes one entry for a list, and what YAML reads as numbers and dates for text."""
    entries = value if isinstance(value, list) else [value]
    plain = (int, date)
    return [str(each) if isinstance(each, plain) and not isinstance(each, bool) else each for each in entries]


class CheckConfig(Section):
    """What one check of the data does when it finds something. An action alone stands for `action`."""

    action: Annotated[Literal["off"] | ActiveAction | None, BeforeValidator(_yaml_off)] = Field(
        None,
        description="`off`: it is not made; `warn`: terminal, summary and report tell; `drop`: what it names in train "
        "and val is not trained on, and test examples stay; `stop`: the run ends with exit code 3. Default: see "
        "[data checks](data-checks.md)",
    )
    bound: float | None = Field(
        None, ge=0, description="what it measures may be as large as this. Default: see [data checks](data-checks.md)"
    )

    @model_validator(mode="before")
    @classmethod
    def _an_action_alone(cls, value: Any) -> Any:
        return {"action": value} if value is False or isinstance(value, str) else value


class ReplayConfig(Section):
    """How much of the spans before `window` is trained on once more, so that it is not forgotten.

    Their test examples are all tested on. Which examples are replayed follows from their content.
    """

    share: float | None = Field(
        None, ge=0, le=1, description="of their train and val examples; 0 replays none, and tests on theirs alone"
    )
    reservoir: int | None = Field(
        None, ge=1, description="in place of `share`: so many of their train examples, a uniform sample of all so far"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> ReplayConfig:
        if (self.share is None) == (self.reservoir is None):
            raise ValueError("expected exactly one of `share` and `reservoir`")
        return self


class DataConfig(Section):
    """What is trained on, and how it is split."""

    root: BucketOrPath = Field(
        description="folder of pictures or of sounds; for texts, a CSV, TSV or JSONL file, or a folder of them; here "
        "or in a bucket (`s3://`, `gs://`). With `{SPAN}` in it, or `{YYYY}`, `{MM}` and `{DD}`, one such root for "
        "each span: [retraining](retraining.md)"
    )
    window: Annotated[int, Field(ge=1)] | Literal["all"] = Field(
        "all", description="of spans: how many of the latest complete ones are trained and tested on"
    )
    spans: Annotated[list[str], BeforeValidator(_span_names)] = Field(
        [],
        description="out of these spans alone, for a backfill: names and ranges, such as `[3, 7..9]`, `..12` or "
        "`2024-03-01..2024-04-30`; `window` counts within them",
    )
    span_marker: str | None = Field(
        None,
        pattern=r"^[^/\s][^/]*$",
        description="name of the file in a span's folder, such as `_SUCCESS`, without which the span is not read",
    )
    span_min_age: Annotated[str, AfterValidator(_a_time)] | None = Field(
        None, description="a span in which something changed within that time, such as `30m`, is not read"
    )
    replay: ReplayConfig | None = Field(
        None,
        description="what is read of the spans before `window`. Default: nothing; with a gate on `retention`, "
        "`{share: 0}`, their test examples alone",
    )
    layout: Literal["auto", "classes", "splits", "manifest", "masks", "table"] = Field(
        "auto",
        description="pictures and sounds: `root/<class>/*`, `root/{train,val,test}/<class>/*`, or a manifest; "
        "with task segmentation `masks`, as [segmentation](segmentation.md) has them. "
        "Texts: tables, of which those called train, val and test are splits. `auto` looks",
    )
    splits: dict[Literal["train", "val", "test"], float | str] | None = Field(
        None,
        description="per split: the folder (table, or value in the split column) that becomes it, or the fraction cut "
        "from train by content. Default: the folders of that name, what is missing cut at 0.15; 0.7 / 0.15 / 0.15 "
        "without any",
    )
    split_salt: str = Field("", description="another salt cuts other random splits")
    manifest: LocalPath | None = Field(
        None,
        description="CSV file, relative to `root`; or of pictures a JSON file as COCO has it, of which each has the "
        "classes of its boxes, and whose keys of `images` are the columns; or a folder of XML files as Pascal VOC has "
        "them",
    )
    columns: list[str] | None = Field(
        None, min_length=1, description="names of a CSV or TSV table's columns, when its first line does not hold them"
    )
    path_column: str = Field("path", description="manifest column: path of a file, relative to `root`")
    mask_column: str = Field(
        "mask", description="manifest column, of segmentation: path of the picture's mask, relative to `root`"
    )
    text_column: str = Field("text", description="table column: what is classified")
    text_columns: list[str] | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="table columns of the two texts of a pair, such as a question and an answer, in place of "
        "`text_column`; `[question, answer]`. BERT reads them as a pair, other backbones one after the other",
    )
    label_column: str = Field("label", description="manifest or table column: class")
    split_column: str | None = Field(None, description="manifest or table column: split")
    group_column: str | None = Field(
        None,
        description="manifest or table column: what several examples share, such as a patient or a speaker. All of a "
        "group go into one split, and intervals resample groups. An empty cell is a group by itself",
    )
    label_separator: str | None = Field(
        None, min_length=1, description="of multi_label: stands between the labels in a cell. Default: `|`"
    )
    slice_columns: list[str] = Field([], description="manifest or table columns that gates and reports can slice by")
    max_bad_fraction: float = Field(0.05, ge=0, le=1, description="more unusable files than this stop the run")
    max_pixels: int = Field(64_000_000, ge=1, description="larger pictures are skipped (decompression bombs)")
    max_seconds: float = Field(600.0, gt=0, description="longer sounds are skipped")
    max_characters: int = Field(100_000, ge=1, description="longer texts are skipped (quotes that are never closed)")
    cache_gb: float = Field(
        20.0,
        ge=0,
        description="what is known of single examples, in `<output_dir>/example_cache`, so that a later run pays for "
        "new ones alone; what was not used for longest makes room",
    )
    schema_file: LocalPath | None = Field(
        None, description="curated schema (`schema.pbtxt`) in place of one inferred from train"
    )
    serving_log: LocalPath | None = Field(
        None,
        description="CSV table of what models were shown, as `finetune predict --output` writes it: the check `served` "
        "says whether train looks like it",
    )
    corrections: LocalPath | None = Field(
        None,
        description="CSV file with the columns `path` and `label`, such as `label_errors.csv` of a run: the label of "
        "each example that it names stands in place of that of the data, which stay as they are",
    )
    checks: dict[str, CheckConfig] = Field(
        {},
        description="per check of the data, `off`, `warn`, `drop` or `stop`, or a section with `action` and `bound`; "
        "[data checks](data-checks.md) lists them",
    )

    @field_validator("splits")
    @classmethod
    def _splits_are_complete(cls, splits: dict[str, float | str] | None) -> dict[str, float | str] | None:
        if splits is None:
            return None
        missing = [name for name in SPLITS if name not in splits]
        if missing:
            raise ValueError(f"expected train, val and test; missing: {', '.join(missing)}")
        fractions = [value for value in splits.values() if isinstance(value, float)]
        if any(not 0 < value < 1 for value in fractions) or "" in splits.values():
            raise ValueError("expected per split the name of a folder, or a fraction between 0 and 1")
        if len(fractions) == len(SPLITS) and abs(sum(fractions) - 1) > 1e-6:
            raise ValueError(f"expected fractions that add up to 1, and these add up to {sum(fractions):g}")
        if len(fractions) < len(SPLITS):
            if isinstance(splits["train"], float):
                raise ValueError("expected `train` to name a folder when val or test does")
            if sum(fractions) >= 1:
                raise ValueError(
                    f"expected fractions cut from train to leave some of it; they add up to {sum(fractions):g}"
                )
        return splits

    @model_validator(mode="after")
    def _columns_go_with_their_layout(self) -> DataConfig:
        if self.layout == "manifest" and self.manifest is None:
            raise ValueError("layout `manifest` expects `data.manifest`, the path of a CSV file")
        if self.layout == "table" and self.manifest is not None:
            raise ValueError("`manifest` lists files, and layout `table` is for texts; leave one of them out")
        has_rows = self.manifest is not None or self.layout == "table"
        if not has_rows and (self.split_column or self.group_column or self.slice_columns or self.columns):
            raise ValueError(
                "`columns`, `split_column`, `group_column` and `slice_columns` are about a manifest or a table; set "
                "`data.manifest`, or `data.layout` to `table`"
            )
        if self.columns:
            texts = self.text_columns or [self.text_column]
            wanted = [*texts, self.label_column, self.split_column, self.group_column, *self.slice_columns]
            missing = [name for name in wanted if name and name not in self.columns]
            if missing or len(set(self.columns)) < len(self.columns):
                raise ValueError(
                    f"columns: got {', '.join(self.columns)}; expected every name once"
                    + (f", and {' and '.join(missing)} among them" if missing else "")
                )
        if self.text_columns and self.text_column != type(self).model_fields["text_column"].default:
            raise ValueError(
                f"`text_column` ({self.text_column}) is one text a row, and `text_columns` "
                f"({', '.join(self.text_columns)}) a pair; leave one of them out"
            )
        reserved = sorted(
            {"image", "audio", "text", "label", "path", "sha256", "group", "span"} & set(self.slice_columns)
        )
        if reserved:
            raise ValueError(f"slice_columns: {', '.join(reserved)} is a name that every example has already")
        return self

    @property
    def in_spans(self) -> bool:
        """Whether `root` has a place for the span; not where a run of a package says the root."""
        return isinstance(self.root, str) and is_pattern(self.root)

    @model_validator(mode="after")
    def _replay_goes_with_a_window(self) -> DataConfig:
        if self.replay is not None and (self.window == "all" or not self.in_spans):
            raise ValueError(
                f"replay: is of spans before the window; got window {self.window!r} of root {self.root!r}; expected a "
                "number of spans, such as `window: 1`, of a root such as store/{SPAN}"
            )
        return self

    @model_validator(mode="after")
    def _spans_go_with_a_pattern(self) -> DataConfig:
        if not self.in_spans:
            given = [name for name in ("spans", "span_marker", "span_min_age") if getattr(self, name)]
            given += ["window"] if self.window != "all" else []
            if given:
                raise ValueError(
                    f"`{'`, `'.join(given)}`: only for spans, and root {self.root!r} has no place for one; expected a "
                    "root such as store/{SPAN}"
                )
            return self
        try:
            pattern = SpanPattern(self.root)
            for text in self.spans:
                pattern.check_choice(text)
        except ValueError as error:
            raise ValueError(f"root {self.root!r}: {error}") from None
        return self
