"""The controller of FLOPS, on an encoder that answers late."""

from __future__ import annotations

import json
import math

import pytest

from release_tool.core.finetune.flops_control import DEFAULT_TARGET, RANGE, FlopsController, aim


class Late:
    """FLOPS follow the weight by a power law, a part of the way at every measurement, as weights of a model do."""

    def __init__(self, flops: float, power: float, speed: float) -> None:
        self.flops, self.power, self.speed = flops, power, speed

    def answer(self, weight: float) -> float:
        wanted = 2.0 * (weight / 0.01) ** -self.power
        self.flops *= (wanted / self.flops) ** self.speed
        return self.flops


@pytest.mark.parametrize("first", [0.2, 2.0, 300.0])
@pytest.mark.parametrize("power", [0.3, 0.6])
@pytest.mark.parametrize("speed", [0.1, 0.4])
def test_it_ends_at_the_target_from_both_sides(first, power, speed):
    encoder, controller = Late(first, power, speed), FlopsController(target=1.0, start=0.003)
    seen = [first]
    for _ in range(150):
        seen.append(encoder.answer(controller.measured(seen[-1])))
    assert all(abs(math.log(flops)) < math.log(1.1) for flops in seen[-20:])


def test_too_many_flops_raise_the_weight_and_too_few_lower_it():
    assert FlopsController(target=2.0, start=0.01).measured(4.0) > 0.01
    assert FlopsController(target=2.0, start=0.01).measured(1.0) < 0.01
    assert FlopsController(target=2.0, start=0.01).measured(2.0) == 0.01


def test_an_encoder_that_does_not_answer_gets_no_endless_weight():
    controller = FlopsController(target=1.0, start=0.01)
    for _ in range(1000):
        controller.measured(1e6)
    assert controller.weight == pytest.approx(0.01 * RANGE)
    for _ in range(2000):
        controller.measured(0.0)
    assert controller.weight == pytest.approx(0.01 / RANGE)


def test_it_goes_on_from_what_was_kept():
    one, other = FlopsController(target=1.0, start=0.01), FlopsController(target=1.0, start=0.01)
    one.measured(3.0)
    other.restore(json.loads(json.dumps(one.state())))
    assert other.measured(2.5) == one.measured(2.5)


def test_the_aim_is_the_recipes_else_the_bases_else_a_published_one():
    assert aim(1.5, 3.0) == 1.5
    assert aim(0.0, 3.0) == 3.0
    assert aim(0.0, 900.0) == DEFAULT_TARGET
    assert aim(0.0, 0.0) == DEFAULT_TARGET
