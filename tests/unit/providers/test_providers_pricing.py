"""Prices and costs are integers; rounding never hides a cost."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.port import Price, Usage
from providers.pricing import nano_usd, to_price
from servicekit.settings.models import PriceSettings

PRICES = st.integers(0, 10**14)
TOKENS = st.integers(0, 10**7)


@pytest.mark.parametrize(
    ("usd", "expected"),
    [(0.0, 0), (0.15, 150_000_000), (0.1, 100_000_000), (2.5, 2_500_000_000), (1e-9, 1), (4e-10, 0), (100_000.0, 10**14)],
)
def test_prices_are_exact_on_what_the_configuration_shows(usd: float, expected: int) -> None:
    assert nano_usd(usd) == expected


@given(nanos=st.integers(0, 10**14))
def test_every_whole_number_of_nano_usd_is_kept(nanos: int) -> None:
    assert nano_usd(nanos / 10**9) == nanos


def test_cached_input_defaults_to_the_input_price() -> None:
    price = to_price(PriceSettings(input_usd_per_mtok=1.0, output_usd_per_mtok=2.0))
    assert price == Price(input_nano_usd_per_mtok=10**9, output_nano_usd_per_mtok=2 * 10**9)
    assert price.cost_nano_usd(Usage(input_tokens=1_000, output_tokens=10, cached_input_tokens=400)) == 1_020_000
    cheaper = to_price(PriceSettings(input_usd_per_mtok=1.0, output_usd_per_mtok=2.0, cached_input_usd_per_mtok=0.1))
    assert cheaper.cost_nano_usd(Usage(input_tokens=1_000, output_tokens=10, cached_input_tokens=400)) == 660_000


def test_free_is_free() -> None:
    assert Price().cost_nano_usd(Usage(input_tokens=10**6, output_tokens=10**6)) == 0


@given(input_price=PRICES, output_price=PRICES, cached_price=PRICES, fresh=TOKENS, cached=TOKENS, output=TOKENS)
def test_cost_is_rounded_up_by_less_than_one(
    *, input_price: int, output_price: int, cached_price: int, fresh: int, cached: int, output: int
) -> None:
    price = Price(
        input_nano_usd_per_mtok=input_price,
        output_nano_usd_per_mtok=output_price,
        cached_input_nano_usd_per_mtok=cached_price,
    )
    exact = Fraction(fresh * input_price + cached * cached_price + output * output_price, 10**6)
    cost = price.cost_nano_usd(Usage(input_tokens=fresh + cached, output_tokens=output, cached_input_tokens=cached))
    assert exact <= cost < exact + 1


@given(price=PRICES, tokens=TOKENS, more=TOKENS)
def test_more_tokens_never_cost_less(price: int, tokens: int, more: int) -> None:
    prices = Price(input_nano_usd_per_mtok=price, output_nano_usd_per_mtok=price)
    assert prices.cost_nano_usd(Usage(output_tokens=tokens)) <= prices.cost_nano_usd(Usage(output_tokens=tokens + more))
