"""Weights as blobs: read once on two threads, in any order, and still the bytes of the tensor."""

from __future__ import annotations

import zlib

import pytest
import torch

from release_tool.errors import ExportError
from release_tool.models import torchscript
from release_tool.models.torchscript import Weights


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(torchscript, "CHUNK_ELEMENTS", 1000)


@pytest.mark.parametrize("rows", [1, 10, 100, 101, 777])
@pytest.mark.parametrize("transposed", [False, True])
def test_the_crc_and_the_bytes_are_those_of_the_tensor_row_by_row(rows, transposed):
    tensor = torch.randn(rows, 13)
    wanted = (tensor.t() if transposed else tensor).contiguous().numpy().tobytes()
    blob = Weights().blob(tensor, transposed=transposed)
    assert blob.size == len(wanted)
    assert blob.crc == zlib.crc32(wanted)
    for _ in range(2):
        assert b"".join(blob.chunks()) == wanted


@pytest.mark.parametrize("at", [0, 999, 1000, 4321, 7699])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_is_found_in_every_chunk(at, number):
    tensor = torch.zeros(7700)
    tensor[at] = number
    with pytest.raises(ExportError, match="NaN or infinite"):
        Weights().blob(tensor)


def test_whole_numbers_are_not_asked_whether_they_are_finite():
    tensor = torch.arange(5000)
    assert Weights().blob(tensor).crc == zlib.crc32(tensor.numpy().tobytes())
