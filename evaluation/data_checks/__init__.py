"""The checks of the data: one object each, in one table. One more is one file and a line here.

They are pure functions of what `Examples` holds, and know no TensorFlow.
"""

from __future__ import annotations

from evaluation.data_checks import (
    champion_data,
    classes,
    constant_columns,
    exposure,
    label_errors,
    leaks,
    near_duplicates,
    outliers,
    representative,
    served,
    split_shares,
    texts,
)
from evaluation.data_checks.check import DataCheck, Examples, Found, Pictures, Suspect

__all__ = ["CHECKS", "DataCheck", "Examples", "Found", "Pictures", "Suspect"]

# In the order in which they are shown.
CHECKS: dict[str, DataCheck] = {
    check.name: check
    for check in (
        label_errors.LABEL_ERRORS,
        near_duplicates.ACROSS,
        near_duplicates.WITHIN,
        outliers.OUTLIERS,
        exposure.EXPOSURE,
        texts.LANGUAGES,
        texts.BOILERPLATE,
        leaks.LEAKS,
        constant_columns.CONSTANT_COLUMNS,
        representative.REPRESENTATIVE,
        split_shares.SPLIT_SHARES,
        served.SERVED,
        champion_data.CHAMPION_DATA,
        classes.CLASS_IMBALANCE,
        classes.SMALL_CLASSES,
        classes.CLASS_NAMES,
    )
}
