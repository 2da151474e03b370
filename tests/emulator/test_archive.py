from __future__ import annotations

import zipfile

import pytest
from toys import zipped

from release_tool.emulator.archive import Archive
from release_tool.emulator.faults import ContractFault, Refused

GOOD = {"m.pt": b"x", "tokenizer.json": "{}"}


def opened(tmp_path, members, function="TEXT_EMBEDDING", model_format="TORCH_SCRIPT"):
    return Archive(zipped(tmp_path / "a.zip", members), function, model_format)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"m.onnx": b"x", "tokenizer.json": "{}"}, "Model format is TORCH_SCRIPT, but find .onnx file"),
        ({**GOOD, "n.pt": b"y"}, "Find multiple model files, but expected only one"),
        ({"__MACOSX/._m.pt": b"y", **GOOD}, "Find multiple model files, but expected only one"),
        ({"tokenizer.json": "{}"}, "Can't find model file"),
        ({"m.pt": b"x", "sub/tokenizer.json": "{}"}, "No tokenizer file"),
        ({"sub/m.pt": b"x", "tokenizer.json": "{}"}, ".pt file not found in"),
        ({**GOOD, "../up": b""}, "Bad zip entry"),
        ({**GOOD, "/abs": b""}, "Bad zip entry"),
        ({**GOOD, "lib/evil.so": b""}, "disallowed executable file: lib/evil.so"),
        ({**GOOD, "serving.properties": b""}, "disallowed executable file"),
    ],
)
def test_an_archive_is_refused_in_the_servers_words(tmp_path, members, says):
    with pytest.raises(Refused) as caught:
        opened(tmp_path, members)
    assert says in str(caught.value)


def test_the_wrong_extension_is_named_for_onnx_too(tmp_path):
    with pytest.raises(Refused, match=r"Model format is ONNX, but find \.pt file"):
        opened(tmp_path, GOOD, model_format="ONNX")


def test_something_that_is_no_zip_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(Refused, match="Wrong input file"):
        Archive(tmp_path / "a.zip", "TEXT_EMBEDDING", "TORCH_SCRIPT")


def test_a_tokenizer_archive_needs_no_model_file(tmp_path):
    archive = opened(tmp_path, {"tokenizer.json": "{}"}, function="SPARSE_TOKENIZE")
    assert archive.model_name == ""
    assert archive.idf() is None


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_two_entries_of_one_name_are_a_fault(tmp_path):
    path = zipped(tmp_path / "a.zip", GOOD)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("tokenizer.json", "[]")
    with pytest.raises(ContractFault, match="two entries of one name"):
        Archive(path, "TEXT_EMBEDDING", "TORCH_SCRIPT")


def test_a_flipped_byte_of_the_model_is_found_when_it_is_unpacked(tmp_path):
    path = zipped(tmp_path / "a.zip", {"m.pt": b"weights" * 100, "tokenizer.json": "{}"})
    data = bytearray(path.read_bytes())
    data[data.index(b"weightsweights") + 9] ^= 1
    path.write_bytes(data)
    archive = Archive(path, "TEXT_EMBEDDING", "TORCH_SCRIPT")
    with pytest.raises(Refused, match="is damaged"), archive.model_file(tmp_path):
        pass


def test_the_unpacked_model_is_gone_after_loading(tmp_path):
    archive = opened(tmp_path, GOOD)
    with archive.model_file(tmp_path) as path:
        assert path.read_bytes() == b"x"
        assert path.suffix == ".pt"
    assert not path.exists()


@pytest.mark.parametrize("text", ['{"a": "1"}', '{"a": true}', "[1]", "{"])
def test_an_idf_table_that_is_no_flat_object_of_numbers_is_refused(tmp_path, text):
    archive = opened(tmp_path, {"tokenizer.json": "{}", "idf.json": text}, function="SPARSE_TOKENIZE")
    with pytest.raises(Refused, match=r"idf\.json"):
        archive.idf()
