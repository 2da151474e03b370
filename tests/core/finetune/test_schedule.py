"""How many steps a training has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.finetune.schedule import CPU_BATCH_TOKENS, schedule
from release_tool.core.finetune.sections_training import TrainSection
from release_tool.errors import RequestError


def plan(train: TrainSection, rows: int = 10_000, **rules: object):
    given_rules = {"processes": 1, "row_tokens": 100.0, "on_cpu": False, "alone": False, **rules}
    return schedule(train, rows, **given_rules)


def test_accumulation_fills_a_step_over_all_processes():
    found = plan(TrainSection(batch_size=8, total_batch_size=128), processes=4)
    assert (found.batch, found.accumulation, found.step_rows) == (8, 4, 128)
    assert found.steps == found.wanted == 500
    assert found.warmup == 50


def test_epochs_count_whole_steps():
    assert plan(TrainSection(steps=-1, epochs=2, batch_size=8, total_batch_size=100)).steps == 2 * (10_000 // 96)


def test_a_cpu_trains_the_tokens_that_it_can():
    train = TrainSection(batch_size=8, total_batch_size=128, cpu_tokens=1_280_000)
    assert plan(train, on_cpu=True).steps == 100
    assert plan(train, on_cpu=True).wanted == 500
    assert plan(train).steps == 500
    assert plan(TrainSection(cpu_tokens=0), on_cpu=True).steps == 500
    assert plan(train, on_cpu=True, row_tokens=10**9).steps == 1


def test_a_cpu_takes_smaller_batches_unless_they_are_part_of_the_loss():
    train = TrainSection(batch_size=8, total_batch_size=32)
    long = CPU_BATCH_TOKENS / 2
    assert plan(train, on_cpu=True, row_tokens=long).batch == 2
    assert plan(train, on_cpu=True, row_tokens=long).step_rows == 32
    assert plan(train, on_cpu=True, row_tokens=long, alone=True).batch == 8
    assert plan(train, row_tokens=long).batch == 8


def test_less_than_a_batch_is_refused():
    with pytest.raises(RequestError, match=r"train\.batch_size: is 8 in 2 processes, and there are 15 rows"):
        plan(TrainSection(batch_size=8), rows=15, processes=2)


@given(
    rows=st.integers(64, 100_000),
    batch=st.integers(1, 64),
    total=st.integers(1, 4096),
    save=st.integers(1, 2000),
    steps=st.integers(1, 2000),
    on_cpu=st.booleans(),
)
def test_a_step_never_has_more_rows_than_there_are_and_the_log_meets_every_checkpoint(
    rows, batch, total, save, steps, on_cpu
):
    train = TrainSection(batch_size=batch, total_batch_size=total, save_steps=save, steps=steps)
    found = plan(train, rows=rows, on_cpu=on_cpu)
    assert found.step_rows <= rows
    assert found.step_rows <= max(total, batch)
    assert found.save_steps % found.log_steps == 0
    assert 1 <= found.save_steps <= found.steps <= found.wanted
