"""Columns that tell nothing, as all examples have the same in them."""

from __future__ import annotations

from evaluation.data_checks.check import DataCheck, Examples, Found, Suspect


def _find(examples: Examples) -> Found:
    if not examples.columns:
        return Found(None, why_not="`data.slice_columns` names no column")
    constant = {name: cells[0] for name, cells in examples.columns.items() if len(set(cells)) == 1}
    suspects = [
        Suspect((0,), f"column {name} is {repr(value) if value else 'empty'} in all {len(examples.paths):,} examples")
        for name, value in constant.items()
    ]
    return Found(len(constant), suspects)


CONSTANT_COLUMNS = DataCheck(
    name="constant_columns",
    label="constant columns",
    measures="columns of `data.slice_columns` in which all examples have the same",
    meaning="Cells are compared letter by letter, over all splits; nothing in it is random. It looks at no label, so "
    "that it does the same for `multi_label`.",
    bound=0.0,
    advice="See whether the column was exported as it should be; gates and slices by it say no more than the whole, "
    "so leave it out of `data.slice_columns` otherwise.",
    find=_find,
    share=False,
)
