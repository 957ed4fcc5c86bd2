"""One string that changes when the data changes, so that an unchanged ingest can be reused."""

from __future__ import annotations

import dataclasses
import hashlib
import json

from components.example_gen.layouts import list_files
from components.example_gen.settings import IngestSettings
from finetune.errors import DataError

# Part of every fingerprint: raise it when the ingest writes something else for the same data.
INGEST_VERSION = 1


def fingerprint(root: str, settings: IngestSettings) -> str:
    """Returns a digest of what the ingest would read: names, labels, splits, sizes, times, and the whole manifest.

    Contents are not read, so a change that keeps both size and time of a file goes unnoticed. Data that cannot be
    listed has a fingerprint too: the ingest itself then says what is wrong.
    """
    try:
        listing = list_files(root, settings)
    except DataError as error:
        return "unusable:" + hashlib.sha256(str(error).encode()).hexdigest()
    plan = dataclasses.asdict(listing.plan)
    digest = hashlib.sha256(json.dumps([INGEST_VERSION, listing.classes, plan, listing.manifest_sha256]).encode())
    for record in listing.files:
        digest.update(record.to_json().encode())
    total_bytes = sum(record.size for record in listing.files)
    return f"files:{len(listing.files)},bytes:{total_bytes},sha256:{digest.hexdigest()}"
