"""Late values in messages, with a message that needs no TFX."""

from __future__ import annotations

from google.protobuf import struct_pb2

from finetune_kubeflow.package import placeholders as late_values


def message(**values: object) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(values)
    return made


def test_a_late_value_keeps_its_type_within_json():
    made = message(a='{"seed": "<<runtime seed>>", "path": "<<root>>/x", "list": ["<<runtime flag>>"]}')
    values = {"seed": 5, "flag": True, "": "/mnt"}
    late_values.resolve(made, lambda kind, argument: values[argument])
    assert made["a"] == '{"list": [true], "path": "/mnt/x", "seed": 5}'


def test_the_inner_late_value_is_resolved_first():
    made = message(a="<<sha256 <<runtime weights>>>>")
    late_values.resolve(made, lambda kind, argument: {"runtime": "w.h5", "sha256": f"digest of {argument}"}[kind])
    assert made["a"] == "digest of w.h5"


def test_other_texts_are_left_alone_to_the_last_space():
    text = '{\n  "splits":   ["train"]}'
    made = message(a=text, b="{not json", c=["x", {"d": "<<root>>"}])
    late_values.resolve(made, lambda kind, argument: "/r")
    assert (made["a"], made["b"], made["c"][1]["d"]) == (text, "{not json", "/r")


def test_a_quote_in_a_value_cannot_leave_its_string():
    made = message(a='{"root": "<<runtime data.root>>/x"}')
    late_values.resolve(made, lambda kind, argument: 'a", "seed": "b')
    assert made["a"] == '{"root": "a\\", \\"seed\\": \\"b/x"}'


def test_tokens_are_found():
    made = message(a='{"x": "<<runtime a.b[0]>>"}', b=["<<root>>"])
    assert late_values.tokens(made) == {"<<runtime a.b[0]>>", "<<root>>"}
