"""Manifests from anywhere: spreadsheets, scripts, strangers."""

import pytest

from components.example_gen.layouts import list_files
from components.example_gen.selection import select_examples
from components.example_gen.settings import IngestSettings
from components.example_gen.tasks.single_label import SingleLabel
from finetune.errors import DataError


@pytest.fixture
def manifest(tree, picture):
    """Writes pictures a.png ... d.png and a manifest; returns list_files' answer."""

    def write(content: bytes | str, **settings):
        data = content if isinstance(content, bytes) else content.encode()
        root = tree({f"{name}.png": picture(seed) for seed, name in enumerate("abcd")} | {"m.csv": data})
        return list_files(root, IngestSettings(**{"manifest": "m.csv", **settings}))

    return write


def rows(listing) -> list[tuple[str, str, str | None]]:
    return [(file.path, ", ".join(file.labels), file.reason) for file in listing.files]


@pytest.mark.parametrize(
    "content",
    [
        "path,label\na.png,rose\nb.png,daisy\n",
        "path,label\r\na.png,rose\r\nb.png,daisy\r\n",
        "\ufeffpath,label\na.png,rose\nb.png,daisy",
        "path, label \n\n a.png , rose\n./b.png,daisy\n\n",
        'label,"path",note\nrose,"a.png","one\ntwo"\ndaisy,b.png,"a, ""b"""\n',
    ],
    ids=["plain", "crlf", "bom", "spaces", "quotes"],
)
def test_spellings_of_the_same_manifest(manifest, content):
    listing = manifest(content)
    assert rows(listing) == [("a.png", "rose", None), ("b.png", "daisy", None)]
    assert (listing.layout, listing.classes) == ("manifest", ["daisy", "rose"])


def test_slice_columns_and_other_column_names(manifest):
    listing = manifest(
        "file,kind,site\na.png,rose,north\nb.png,daisy,\n",
        path_column="file",
        label_column="kind",
        slice_columns=["site"],
    )
    assert [file.slices for file in listing.files] == [{"site": "north"}, {"site": ""}]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("/etc/passwd,rose", "unsafe path"),
        ("../a.png,rose", "unsafe path"),
        ("x/../../a.png,rose", "unsafe path"),
        ("..,rose", "unsafe path"),
        ("..\\a.png,rose", "unsafe path"),
        ("gone.png,rose", "missing file"),
        (".,rose", "is a folder"),
        (",rose", "empty path"),
        ("b.png,", "empty label"),
        ("b.png", "empty label"),
        ('b.png,"ro\nse"', "bad label"),
        ("b,c.png,rose", "bad row"),
        ("a.png,rose", "duplicate row"),
    ],
)
def test_rows_that_cannot_be_used_say_why_and_where(manifest, row, reason):
    listing = manifest(f"path,label\na.png,rose\nd.png,daisy\n{row}\n")
    (bad,) = [file for file in listing.files if file.reason]
    assert bad.reason == reason
    assert bad.detail.startswith("line ")
    assert len(listing.files) == 3


def test_inner_dots_are_harmless(manifest):
    assert rows(manifest("path,label\nx/../a.png,rose\n")) == [("a.png", "rose", None)]


@pytest.mark.parametrize(
    ("content", "settings", "says"),
    [
        ("path,lable\n", {}, "data.label_column: got 'label'; the columns of"),
        ("path,lable\n", {}, "are 'path', 'lable'. Did you mean 'lable'?"),
        ("path,label\n", {"slice_columns": ["site"]}, "data.slice_columns[0]: got 'site'"),
        ("path,label,label\n", {}, "2 columns named 'label'; expected one"),
        ("path;label\na.png;rose\n", {}, "separated by semicolons or tabs; expected commas"),
        (b"path,label\na.png,ros\xe9\n", {}, "line 2 of"),
        (b"path,label\na.png,ros\xe9\n", {}, "is not UTF-8 (byte 0xe9)"),
        ("path,label\n".encode("utf-16"), {}, "not plain text (it has NUL bytes)"),
        ('path,label\na.png,"' + "x" * 200_000, {}, "cannot be read as CSV (field larger than field limit"),
        (b"", {}, "empty file"),
        (b"\n", {}, "none: the file is empty"),
        ("path,label\n", {"manifest": "n.csv"}, "data.manifest: got 'n.csv' (missing file"),
        (
            "path,label,set\na.png,rose,train\nb.png,rose,test\n",
            {"split_column": "set", "splits": {"train": "train", "val": 0.1, "test": "tset"}},
            "data.splits.test: got 'tset'; the values in column 'set' are 'test', 'train'. Did you mean 'test'?",
        ),
        (
            "path,label\na.png,rose\n",
            {"splits": {"train": "train", "val": 0.1, "test": "test"}},
            "data.split_column for a manifest",
        ),
    ],
)
def test_manifests_that_cannot_be_used(manifest, content, settings, says):
    with pytest.raises(DataError) as caught:
        manifest(content, **settings)
    assert says in str(caught.value)


def test_split_column(manifest, read, tmp_path):
    listing = manifest(
        "path,label,set\na.png,rose,train\nb.png,rose,dev\nc.png,rose,test\nd.png,rose,tst\n",
        split_column="set",
        splits={"train": "train", "val": "dev", "test": "test"},
    )
    selection = select_examples(listing, read(str(tmp_path / "data"), listing), 1.0, SingleLabel())
    assert {split: [file.path for file in files] for split, files in selection.examples.items()} == {
        "train": ["a.png"],
        "val": ["b.png"],
        "test": ["c.png"],
    }
    (skipped,) = selection.report.skipped
    assert skipped.reason == "unknown split"
    assert "'tst'" in skipped.detail
