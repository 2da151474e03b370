from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from release_tool.emulator.faults import Refused
from release_tool.emulator.pooling import normalize, pool

NOW = (3, 6)
SHAPE = (7, 5)
MASKS = ([1] * 7, [1, 1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0])


def states(seed=0):
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32) * 3


def formula(mode, embeddings, mask):
    """Return what sentence-transformers' Pooling computes, on the tokens that are not padding, in double."""
    real = torch.from_numpy(embeddings).double()[torch.tensor(mask, dtype=torch.bool)]
    places = torch.arange(1, len(real) + 1, dtype=torch.double).unsqueeze(1)
    return {
        "MEAN": lambda: real.mean(0),
        "MEAN_SQRT_LEN": lambda: real.sum(0) / len(real) ** 0.5,
        "MAX": lambda: real.max(0).values,
        "WEIGHTED_MEAN": lambda: (real * places).sum(0) / places.sum(),
        "CLS": lambda: real[0],
        "LAST_TOKEN": lambda: real[-1],
    }[mode]().numpy()


@pytest.mark.parametrize("mode", ["MEAN", "MEAN_SQRT_LEN", "MAX", "WEIGHTED_MEAN", "CLS", "LAST_TOKEN"])
@pytest.mark.parametrize("mask", MASKS)
def test_every_mode_is_its_formula(mode, mask):
    pooled = pool(states(), mask, mode, NOW)
    assert pooled.dtype == np.float32
    np.testing.assert_allclose(pooled.reshape(-1), formula(mode, states(), mask), rtol=1e-5, atol=1e-6)


def test_none_leaves_a_pooled_output_alone():
    pooled = np.ones((1, 5), np.float32)
    assert pool(pooled, [1] * 7, "NONE", NOW) is pooled


@pytest.mark.parametrize("mode", ["LAST_TOKEN", "NONE"])
def test_two_modes_work_only_since_3_6(mode):
    with pytest.raises(Refused, match="Unsupported pooling method"):
        pool(states(), MASKS[0], mode, (3, 5))


@pytest.mark.parametrize("mode", ["MEAN", "MAX"])
def test_a_normalised_mean_has_length_one_and_a_normalised_maximum_is_only_signs(mode):
    result = normalize(pool(states(), MASKS[0], mode, NOW)).reshape(-1)
    if mode == "MEAN":
        assert np.linalg.norm(result) == pytest.approx(1, abs=1e-6)
    else:
        np.testing.assert_allclose(np.abs(result), 1, rtol=1e-6)


def test_an_already_pooled_output_can_not_be_pooled_by_mean_again():
    with pytest.raises(Refused, match="can't be broadcast"):
        pool(np.ones((1, 5), np.float32), MASKS[0], "MEAN", NOW)


def test_cls_reads_an_already_pooled_output_on_every_version():
    pooled = np.arange(5, dtype=np.float32)[None]
    assert pool(pooled, MASKS[0], "CLS", (2, 5)).tolist() == [0, 1, 2, 3, 4]


def test_nan_stays_nan():
    broken = states()
    broken[2, 3] = np.nan
    assert np.isnan(pool(broken, MASKS[0], "MEAN", NOW)[3])
    assert np.isnan(normalize(pool(broken, MASKS[0], "MEAN", NOW))).all()


@given(st.integers(1, 6), st.sampled_from(["MEAN", "MAX", "WEIGHTED_MEAN", "CLS", "LAST_TOKEN"]), st.integers(0, 9))
def test_padding_changes_nothing(padding, mode, seed):
    embeddings = states(seed)
    longer = np.concatenate([embeddings, np.full((padding, 5), 9e3, np.float32)])
    np.testing.assert_allclose(
        pool(longer, [1] * 7 + [0] * padding, mode, NOW), pool(embeddings, [1] * 7, mode, NOW), rtol=1e-5, atol=1e-6
    )


@given(st.floats(0.01, 1000), st.integers(0, 9))
def test_normalising_forgets_the_length(factor, seed):
    vector = states(seed)[0]
    np.testing.assert_allclose(normalize(vector), normalize(vector * np.float32(factor)), rtol=1e-4, atol=1e-6)
