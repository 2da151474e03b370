"""Reading archives: it agrees with the libraries, memory stays small, hostile files are refused by name."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import struct
import subprocess
import sys
import warnings
import zipfile

import pytest
from archive_makers import SPARSE_INPUTS, VOCABULARY, WIDTH, bpe, onnx_model, pack, rewrite, tiny_scripts, tokenizer
from hypothesis import given
from hypothesis import strategies as st

from release_tool.archives.onnx_file import read_onnx
from release_tool.archives.reading import operator_tables, read_archive, read_config
from release_tool.archives.tokenizer_file import MAX_TOKENIZER_BYTES
from release_tool.archives.wire import Cursor, Message, WireFault
from release_tool.archives.zips import MAX_ENTRIES
from release_tool.core.kinds import Format
from release_tool.core.operators import Known
from release_tool.documents import file_sha256
from release_tool.errors import IntegrityError, UsageError

DEFLATED = zipfile.ZIP_DEFLATED


@pytest.fixture(scope="module")
def scripts():
    return tiny_scripts()


def read_bytes(data):
    return read_onnx(io.BytesIO(data), len(data))


# ---------------------------------------------------------------- ONNX


def test_what_is_read_of_a_graph_is_what_the_onnx_package_reads():
    from onnx import TensorProto, helper

    made = onnx_model(SPARSE_INPUTS, outputs=(("batch", VOCABULARY), None), opsets={"": 16, "com.microsoft": 1},
                      nodes=(("com.microsoft", "Gelu"), ("ai.onnx", "Relu")))  # fmt: skip
    inner = helper.make_graph([helper.make_node("Erf", ["cast"], ["then"])], "then", [],
                              [helper.make_tensor_value_info("then", TensorProto.FLOAT, None)])  # fmt: skip
    made.graph.node.append(helper.make_node("If", ["cast"], ["branch"], then_branch=inner, else_branch=inner))
    facts = read_bytes(made.SerializeToString())
    assert facts.ir_version == made.ir_version
    assert facts.opsets == {one.domain: one.version for one in made.opset_import}
    assert facts.operators == ("::Add", "::Cast", "::Erf", "::If", "::Relu", "com.microsoft::Gelu")
    assert [(one.name, one.dtype, one.shape) for one in facts.inputs] == [
        (name, "int64", ("batch", "sequence")) for name in SPARSE_INPUTS
    ]
    assert [(one.name, one.rank) for one in facts.outputs] == [("output_0", 2), ("output_1", None)]
    assert facts.outputs[0].shape == ("batch", str(VOCABULARY))
    assert facts.weight_dtypes == ("float32",)
    assert facts.external == ()


def test_an_initialiser_that_is_listed_as_an_input_is_no_input():
    from onnx import TensorProto, helper

    made = onnx_model()
    made.graph.input.append(helper.make_tensor_value_info("weight", TensorProto.FLOAT, [4, WIDTH]))
    assert [one.name for one in read_bytes(made.SerializeToString()).inputs] == [
        "input_ids", "attention_mask", "token_type_ids",
    ]  # fmt: skip


def test_functions_of_the_model_are_known_by_name():
    from onnx import helper

    made = onnx_model(nodes=(("acme", "Twice"),), opsets={"": 17, "acme": 1})
    node = helper.make_node("Add", ["x", "x"], ["y"])
    made.functions.append(helper.make_function("acme", "Twice", ["x"], ["y"], [node], [helper.make_opsetid("", 17)]))
    facts = read_bytes(made.SerializeToString())
    assert facts.functions == ("acme::Twice",)
    assert "acme::Twice" in facts.operators


def test_every_cut_of_a_graph_is_refused_and_none_breaks_the_reader():
    whole = onnx_model(nodes=(("", "Relu"),)).SerializeToString()
    for length in range(len(whole)):
        try:
            facts = read_bytes(whole[:length])
        except WireFault:
            continue
        # A cut between two top-level fields is a whole message: it may only lack what stood behind.
        assert facts.ir_version == 8


@given(data=st.binary(max_size=400))
def test_any_bytes_give_facts_or_a_wire_fault(data):
    with contextlib.suppress(WireFault):
        read_bytes(data)


@given(fields=st.lists(st.tuples(st.integers(1, 500), st.binary(max_size=80)), max_size=20))
def test_fields_come_back_as_they_were_written(fields):
    data = b"".join(varint(number << 3 | 2) + varint(len(value)) + value for number, value in fields)
    message = Message(Cursor(io.BytesIO(data)), len(data))
    assert [(one.number, message.text(one, 1000)) for one in message.fields()] == [
        (number, value.decode("utf-8", "replace")) for number, value in fields
    ]


def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


PEAK = """
import resource, sys
from pathlib import Path
from release_tool.archives.reading import read_archive
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
facts = read_archive(Path(sys.argv[1]))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
loaded = sorted({"torch", "onnx", "numpy", "tokenizers"} & set(sys.modules))
print(after - before, facts.format, loaded)
"""


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, DEFLATED], ids=["stored", "deflated"])
@pytest.mark.parametrize("kind", ["onnx", "torch_script"])
def test_memory_does_not_grow_with_the_model_and_no_library_is_loaded(kind, method, scripts, tmp_path):
    noise = os.urandom(1 << 20) * 150
    if kind == "onnx":
        made = onnx_model()
        made.graph.initializer[0].raw_data = noise
        files = {"model.onnx": made.SerializeToString()}
    else:
        grown = io.BytesIO(scripts["dense"])
        with zipfile.ZipFile(grown, "a") as archive:
            prefix = archive.namelist()[0].split("/")[0]
            archive.writestr(f"{prefix}/data/99", noise)
        files = {"model.pt": grown.getvalue()}
    path = pack(tmp_path / "big.zip", {**files, "tokenizer.json": tokenizer()}, method=method)
    answer = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
    grown_by, fmt, loaded = answer.stdout.split(maxsplit=2)
    assert int(grown_by) < 64 << 10, "kilobytes, for a model of 150 MB"
    assert (fmt, loaded.strip()) == (kind, "[]")


# ---------------------------------------------------------------- TorchScript


def test_what_is_read_of_torchscript_is_what_torch_loads(scripts):
    import torch

    for name, data in scripts.items():
        facts = read_script(data)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            module = torch.jit.load(io.BytesIO(data))
        schema = module._c._get_method("forward").schema
        assert [one.type for one in facts.inputs] == [
            str(one.type).replace("Dict(str, Tensor)", "Dict[str, Tensor]") for one in schema.arguments[1:]
        ], name
        kinds = {node.kind() for node in module.inlined_graph.nodes()} - {"prim::Constant", "prim::DictConstruct"}
        called = {kind for kind in kinds if kind.startswith("aten::") and kind != "aten::__getitem__"}
        assert called <= set(facts.operators), name


def read_script(data):
    from release_tool.archives.torch_script import read_torch_script

    return read_torch_script(io.BytesIO(data), "model.pt")


def test_the_exporters_own_operators_are_all_in_its_column_of_the_table(scripts):
    import torch

    table = operator_tables().torch
    own = torch.__version__.split("+")[0]
    if own not in table.versions:
        own = table.versions[-1]
    for data in scripts.values():
        assert {table.lookup(name, own) for name in read_script(data).operators} == {Known.YES}


def test_the_table_knows_which_libtorch_has_scaled_dot_product_attention():
    table = operator_tables().torch
    name = "aten::scaled_dot_product_attention"
    assert [table.lookup(name, version) for version in ("1.12.1", "1.13.1", "2.5.1")] == [Known.NO, Known.NO, Known.YES]
    assert table.lookup("aten::no_such_thing", "2.5.1") is Known.UNKNOWN
    assert table.lookup("aten::add", "9.9") is Known.UNKNOWN


def test_the_onnx_table_agrees_with_the_installed_package():
    from onnx import defs

    tables = operator_tables()
    for schema in defs.get_all_schemas():
        if schema.domain == "" and schema.since_version <= 17:
            first, deprecated = tables.standard[""][schema.name]
            assert first <= schema.since_version
            assert schema.deprecated == (deprecated is not None and deprecated <= 17), schema.name


def test_a_file_of_torch_save_is_no_torchscript(tmp_path):
    import torch

    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, buffer)
    facts = read_archive(pack(tmp_path / "a.zip", {"model.pt": buffer.getvalue(), "tokenizer.json": tokenizer()}))
    assert facts.torch_script is None
    assert "state_dict" in facts.model_problem


def test_nothing_in_a_pickle_is_called(scripts, tmp_path):
    marker = tmp_path / "marker"
    evil = b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR."
    data = rewrite(scripts["dense"], {"/data.pkl": lambda _: evil})
    read_archive(pack(tmp_path / "a.zip", {"model.pt": data, "tokenizer.json": tokenizer()}))
    assert not marker.exists()


# ---------------------------------------------------------------- tokenizer.json and config.json


@pytest.mark.parametrize(
    ("over", "field", "value"),
    [
        ({}, "merges", None),
        ({"model": bpe()}, "merges", "strings"),
        ({"model": bpe(merges=[["a", "b"]])}, "merges", "pairs"),
        ({"model": bpe(byte_fallback=True)}, "byte_fallback", True),
        ({"model": bpe(ignore_merges=True)}, "ignore_merges", True),
        ({"truncation": None}, "truncation", None),
        ({"padding": {"strategy": {"Fixed": 7}}}, "fixed_padding", 7),
        ({"padding": {"strategy": "BatchLongest"}}, "fixed_padding", None),
        ({"pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "first"}}, "metaspace_prepend_scheme", "first"),
        ({"pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "first"}}, "metaspace_plain", False),
        ({"pre_tokenizer": {"type": "Metaspace", "add_prefix_space": True}}, "metaspace_plain", True),
        (
            {"decoder": {"type": "Sequence", "decoders": [{"type": "Metaspace", "split": True}]}},
            "metaspace_split",
            True,
        ),
    ],
)
def test_a_tokenizer_is_described_by_what_its_file_says(over, field, value, tmp_path):
    facts = read_archive(pack(tmp_path / "a.zip", {"tokenizer.json": tokenizer(**over)}))
    assert getattr(facts.tokenizer, field) == value


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"model": 3}', b"\xff", b"[" * 200_000, b"1" * 10_000])
def test_a_broken_tokenizer_is_a_fact_and_no_crash(data, tmp_path):
    facts = read_archive(pack(tmp_path / "a.zip", {"tokenizer.json": data}))
    assert facts.tokenizer is None
    assert facts.tokenizer_problem


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"name": 1, "name": 2}', "given twice"),
        ("[]", "no JSON object"),
        ("{", "no register request"),
        ("[" * 200_000, "no register request"),
    ],
)
def test_a_broken_request_is_a_usage_error(text, says, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        read_config(path)


def test_the_order_of_keys_is_kept(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"model_config": {}, "function_name": "X"}')
    assert list(read_config(path)) == ["model_config", "function_name"]


# ---------------------------------------------------------------- zips


def test_digest_size_and_entries_are_those_of_the_file(tmp_path):
    path = pack(tmp_path / "a.zip", {"tokenizer.json": tokenizer(), "d/x.txt": b"hello"}, method=DEFLATED)
    facts = read_archive(path)
    assert (facts.sha256, facts.size) == (file_sha256(path), path.stat().st_size)
    assert [(one.name, one.size, one.method, one.at_root) for one in facts.entries] == [
        ("tokenizer.json", len(tokenizer()), 8, True),
        ("d/x.txt", 5, 8, False),
    ]


def test_the_model_at_the_root_is_the_one_that_is_read(scripts, tmp_path):
    files = {"d/model.onnx": onnx_model().SerializeToString(), "model.pt": scripts["dense"]}
    facts = read_archive(pack(tmp_path / "a.zip", files))
    assert (facts.model_file, facts.format) == ("model.pt", Format.TORCH_SCRIPT)


def raw_zip(name, data=b"x", *, flags=0, size=None, method=0, mode=0):
    """Return a zip of one entry, written by hand: zipfile would not write these."""
    encoded = name.encode()
    size = len(data) if size is None else size
    crc = zipfile.crc32(data)
    local = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, flags, method, 0, 33, crc, len(data), size, len(encoded), 0)
    directory = struct.pack(
        "<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20 | 3 << 8, 20, flags, method, 0, 33, crc, len(data), size,
        len(encoded), 0, 0, 0, 0, mode << 16, 0,
    )  # fmt: skip
    body = local + encoded + data
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, len(directory) + len(encoded), len(body), 0)
    return body + directory + encoded + end


def twice():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Duplicate name")
        archive.writestr("tokenizer.json", b"1")
        archive.writestr("tokenizer.json", b"2")
    return out.getvalue()


def bomb(name, size, *, inside=None):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", DEFLATED) as archive, archive.open(name, "w", force_zip64=True) as entry:
        for _ in range(size >> 20):
            entry.write(bytes(1 << 20))
    data = out.getvalue()
    return data if inside is None else packed(inside, data)


def packed(name, data):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, data)
    return out.getvalue()


def many():
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFE, 0, 0)
    return b"PK\x03\x04" + bytes(60) + end


def many64():
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, MAX_ENTRIES + 1, 60, 0)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, 4, 1)
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, 60, 0, 0)
    return b"PK\x03\x04" + record + locator + end


SOUND = packed("tokenizer.json", tokenizer() * 40)

HOSTILE = {
    "not a zip": (b"no zip at all", UsageError, "no zip archive"),
    "empty": (b"", UsageError, "no zip archive"),
    "a bare model": (b"\x08\x08" * 100, UsageError, "no zip archive"),
    "cut": (SOUND[: len(SOUND) // 2], IntegrityError, "damaged"),
    "path": (raw_zip("../../etc/cron.d/x"), UsageError, "leaves its folder"),
    "inner path": (raw_zip("a/../../b"), UsageError, "leaves its folder"),
    "backslash": (raw_zip("a\\..\\b"), UsageError, "leaves its folder"),
    "absolute": (raw_zip("/etc/passwd"), UsageError, "absolute"),
    "drive": (raw_zip("C:/x"), UsageError, "absolute"),
    "zero byte": (raw_zip("tokenizer.json\x00.txt"), UsageError, "leaves its folder"),
    "link": (raw_zip("tokenizer.json", b"/etc/passwd", mode=0o120777), UsageError, "symbolic link"),
    "twice": (twice(), UsageError, "twice"),
    "encrypted": (raw_zip("tokenizer.json", flags=1), UsageError, "encrypted"),
    "bomb": (bomb("model.pt", 256 << 20), UsageError, "bomb"),
    "huge claim": (raw_zip("model.onnx", b"xx", size=0xFFFFFFF0, method=8), UsageError, "bomb"),
    "lying size": (raw_zip("tokenizer.json", b"x", size=10), IntegrityError, "sizes differ"),
    "inner bomb": (bomb("archive/code/__torch__.py", 256 << 20, inside="model.pt"), UsageError, "bomb"),
    "many files": (many(), UsageError, "lists 65,535 files"),
    "many files, 64 bit": (many64(), UsageError, "lists 100,001 files"),
    "huge tokenizer": (packed("tokenizer.json", b" " * (MAX_TOKENIZER_BYTES + 1)), UsageError, "are not read"),
    "bad crc": (raw_zip("tokenizer.json", b"\x03\x00", method=8).replace(b"\x03\x00PK", b"\x07\x00PK"), IntegrityError,
                "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_or_broken_archive_is_refused_by_name_in_little_memory(name, tmp_path):
    data, error, says = HOSTILE[name]
    path = tmp_path / "hostile.zip"
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(error, match=says) as caught:
        read_archive(path)
    assert caught.value.hint
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 << 10, "kilobytes"


def test_a_missing_archive_and_a_folder_are_usage_errors(tmp_path):
    for path in (tmp_path / "none.zip", tmp_path):
        with pytest.raises(UsageError, match="can't be read"):
            read_archive(path)


@given(place=st.integers(min_value=0), value=st.integers(0, 255))
def test_a_changed_byte_gives_facts_or_a_named_error(place, value, tmp_path_factory):
    changed = bytearray(FUZZED)
    changed[place % len(changed)] = value
    path = tmp_path_factory.getbasetemp() / "fuzzed.zip"
    path.write_bytes(bytes(changed))
    with contextlib.suppress(UsageError, IntegrityError):
        assert read_archive(path).sha256 == file_sha256(path)


def _fuzzed():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", DEFLATED) as archive:
        archive.writestr("model.pt", packed("archive/data.pkl", b"\x80\x02c__torch__\nA\n."))
        archive.writestr("tokenizer.json", json.dumps({"model": {"type": "BPE", "merges": []}}))
    return out.getvalue()


FUZZED = _fuzzed()
