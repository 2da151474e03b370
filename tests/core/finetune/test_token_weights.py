"""Weights of query tokens."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.finetune.token_weights import inverse_document_frequency, weights_of


def test_the_law_is_that_of_the_published_weights():
    """The largest of the published inference-free models' idf.json, over MS MARCO's 8,841,823 passages."""
    assert inverse_document_frequency(8_841_823, 1) == pytest.approx(15.59, abs=0.01)


@given(documents=st.integers(1, 10**7), data=st.data())
def test_rarer_tokens_weigh_more_and_none_less_than_nothing(documents, data):
    having = data.draw(st.integers(1, documents))
    weight = inverse_document_frequency(documents, having)
    assert 0 < weight < inverse_document_frequency(documents, having - 1)


def test_special_tokens_weigh_nothing_and_absent_ones_most():
    weights = weights_of(10, [10, 3, 0, 5], {3})
    assert weights[3] == 0.0
    assert weights[2] == max(weights) == round(math.log(22), 5)
    assert 0 < weights[0] < weights[1] < weights[2]
