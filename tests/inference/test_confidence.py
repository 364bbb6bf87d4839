"""Calibration by a temperature, on labels drawn from known probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from bloodtune.inference.confidence import calibration_error, fit_temperature, reliability, with_temperature


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_that_made_probabilities_wrong_is_found(temperature: float) -> None:
    generator = np.random.default_rng(0)
    true = generator.dirichlet([0.3] * 5, size=20000)
    labels = (true.cumsum(1) > generator.random((20000, 1))).argmax(1)
    wrong = with_temperature(true, 1 / temperature)
    found = fit_temperature(wrong, labels)
    assert found == pytest.approx(temperature, rel=0.05)
    calibrated = calibration_error(reliability(labels, with_temperature(wrong, found)))
    assert calibrated < 0.02
    if temperature != 1:
        assert calibration_error(reliability(labels, wrong)) > 3 * calibrated


def test_without_errors_there_is_nothing_to_calibrate_by() -> None:
    probabilities = np.tile([0.6, 0.4], (40, 1))
    assert fit_temperature(probabilities, (np.arange(40) < 4).astype(int)) == 1
    assert fit_temperature(probabilities, (np.arange(40) < 5).astype(int)) != 1


def test_a_temperature_keeps_sums_and_order_and_takes_zeros() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1, 0.0]], np.float32)
    for temperature in (0.25, 1.0, 4.0):
        found = with_temperature(probabilities, temperature)
        assert found.sum() == pytest.approx(1)
        assert (found.argsort() == probabilities.argsort()).all()
    assert with_temperature(probabilities, 1.0) == pytest.approx(probabilities, abs=1e-6)
