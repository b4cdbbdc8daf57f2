from __future__ import annotations

import math

import pytest

from funnel.evaluation.steps import losses, steps
from funnel.schema.topology import Place

NAMES = ("click", "cart", "wish")
PLACES = (Place(-1), Place(0), Place(0, excluded=(1,)))


def test_counts_and_rates_by_hand():
    click, cart, wish = steps(NAMES, PLACES, [0.2, 0.05, 0.0], [0.25, 0.1, 0.01], 1000)
    assert (click.given, cart.given, wish.given) == (None, "click", "click")
    assert (click.observed, cart.observed, wish.observed) == (200, 50, 0)
    assert (click.predicted, cart.predicted, wish.predicted) == (250, 100, 10)
    assert (click.observed_step, click.predicted_step) == (0.2, 0.25)
    assert (cart.observed_step, cart.predicted_step) == (0.25, 0.4)
    assert (wish.observed_step, wish.predicted_step) == (0, pytest.approx(0.04))


def test_where_a_part_is_lost_adds_up_exactly():
    whole = steps(NAMES, PLACES, [0.2, 0.05, 0.01], [0.25, 0.1, 0.01], 1000)
    part = steps(NAMES, PLACES, [0.1, 0.04, 0.02], [0.2, 0.05, 0.02], 10)
    found = losses(part, whole)
    assert [one.stage for one in found["cart"]] == ["click", "cart"]
    assert [one.stage for one in found["wish"]] == ["click", "wish"]
    for place, stage in enumerate(NAMES):
        for kind in ("observed", "predicted"):
            rates = [getattr(one[place], f"{kind}_rate") for one in (part, whole)]
            assert sum(getattr(one, kind) for one in found[stage]) == pytest.approx(math.log(rates[0] / rates[1]), rel=1e-14)
    # Half as many clicks, but of these 1.6 times as many carts.
    assert [math.exp(one.observed) for one in found["cart"]] == pytest.approx([0.5, 1.6])


def test_what_nobody_reached_has_no_logarithm():
    whole = steps(NAMES, PLACES, [0.2, 0.0, 0.01], [0.25, 0.1, 0.01], 1000)
    part = steps(NAMES, PLACES, [0.0, 0.0, 0.0], [0.2, 0.05, 0.02], 10)
    found = losses(part, whole)
    assert math.isnan(part[1].observed_step)
    assert all(math.isnan(one.observed) for one in found["cart"])
    assert not math.isnan(found["cart"][1].predicted)
