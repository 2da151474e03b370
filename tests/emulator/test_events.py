"""Metrics correlation in the emulator: events are put together as on the server; what it would mix is an error."""

from __future__ import annotations

import numpy as np
import pytest

from release_tool.emulator.events import read_events
from release_tool.emulator.faults import ContractFault

WINDOW = ("event_window", np.array([3.0, 5.0], np.float32))
PATTERN = ("event_pattern", np.array([[1.0, 2.0]], np.float32))
METRICS = ("suspected_metrics", np.array([0, 2], np.int64))


def test_every_three_tensors_are_an_event_in_whatever_order_their_keys_come() -> None:
    found = read_events([WINDOW, PATTERN, METRICS, METRICS, WINDOW, PATTERN])
    assert [[part.tolist() for part in event] for event in found] == [[[3.0, 5.0], [1.0, 2.0], [0, 2]]] * 2


def test_no_tensors_are_no_events() -> None:
    assert read_events([]) == []


@pytest.mark.parametrize(
    "outputs",
    [
        [WINDOW, PATTERN],
        [WINDOW, PATTERN, WINDOW, PATTERN, METRICS],
        [WINDOW, PATTERN, METRICS, WINDOW],
        [(None, WINDOW[1]), PATTERN, METRICS],
    ],
)
def test_an_event_that_lacks_a_field_would_be_mixed_with_the_next(outputs) -> None:
    with pytest.raises(ContractFault, match="is read from"):
        read_events(outputs)


@pytest.mark.parametrize(
    "part", [("event_window", np.array([3, 5])), ("suspected_metrics", np.array([0.0], np.float32))]
)
def test_a_type_that_the_server_does_not_read_is_named(part) -> None:
    others = [item for item in (WINDOW, PATTERN, METRICS) if item[0] != part[0]]
    with pytest.raises(ContractFault, match=rf"{part[0]} is (int64|float32)"):
        read_events([part, *others])
