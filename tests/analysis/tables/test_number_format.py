"""Numbers in tables: per cent, decimals and p values."""

from bloodtune.training.metrics import Interval
from tables.number_format import decimals_of, p_value, percent


def test_percent_and_its_decimals() -> None:
    wide, narrow = Interval(0.95, 0.943, 0.957), Interval(0.9985, 0.9979, 0.999)
    assert percent(wide, decimals_of([wide])) == "95.0 [94.3, 95.7]"
    assert percent(narrow, decimals_of([narrow])) == "99.85 [99.79, 99.90]"
    assert percent(Interval(-0.01, -0.02, 0.01), 1, sign=True) == "−1.0 [−2.0, +1.0]"


def test_p_value_has_a_floor() -> None:
    assert [p_value(p) for p in (1e-9, 0.00099, 0.0123, 1.0)] == ["<0.001", "<0.001", "0.012", "1.000"]
