"""Reads examples and labels from disk, and writes them as train, val and test examples.

    settings.py     what the user can choose
    files.py        one file: what it is, its bytes; one folder: the files in it
    layouts.py      which files a data root offers, under which label and in which split folder
    manifest.py     the same from a CSV file
    tables.py       rows of texts from CSV, TSV and JSONL files
    spans.py        which spans are read, by their digests, and all of them as one listing
    columns.py      whether a table has the columns that are wanted
    fingerprint.py  one string that changes when the data changes
    file_kind.py    what the ingest has to know of a kind of files
    images.py       whether bytes are a picture that training and serving can decode
    sounds.py       which files of sound are usable, and how each becomes a WAV file that TensorFlow reads
    tasks/          how a cell becomes labels, and how splits are cut, for each task
    stratification.py  splits that keep rare labels in each of them
    splits.py       which split a file belongs to
    assignments.py  the split that each example and group was put in first, which later spans keep
    selection.py    from all files: which become examples of which split, and the report
    settled_selection.py  the same with what earlier spans have settled
    progress.py     how far a pass is
    passes.py       what Beam's workers do: read files, write a shard
    component.py    what the TFX components around these share
    file_component.py     those of files: image_component.py, audio_component.py
    table_component.py    those of tables: text_component.py
    modalities/     which of these a modality has, and what in a config is about it

Only the components import TFX, and only passes.py besides them imports Beam and TensorFlow.
"""
