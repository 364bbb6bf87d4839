"""From a recipe to Optuna's suggestions and back, over the space of the default recipe."""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from bloodtune.errors import InputError
from bloodtune.run.records import FAILED, PRUNED, EpochRecord, Proposal, make_record
from bloodtune.space.configuration import LOSSES, OPTIMIZERS, SCHEDULES, Configuration
from bloodtune.space.parameter import Parameter
from bloodtune.space.recipe import Recipe
from bloodtune.space.recipe_file import load_recipe
from bloodtune.tuning.sampler import RecipeSpace, StudySampler, distribution, draw_seed, predict_scores
from engine_fixtures import make_configuration

DRAWS = 400


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("default")


@pytest.fixture(scope="module")
def drawn(recipe: Recipe) -> list[tuple[Configuration, dict[str, Any]]]:
    """Draw configurations at random, each with the study's parameters."""
    study = quiet_study()
    trials = [study.ask() for _ in range(DRAWS)]
    return [(RecipeSpace(recipe).suggest(trial), trial.params) for trial in trials]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def quiet_study() -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))


def test_random_draws_reach_all_of_the_space(drawn: list[tuple[Configuration, dict[str, Any]]]) -> None:
    configurations = [configuration for configuration, _ in drawn]
    assert {c.family for c in configurations} == {"mlnn", "cnn", "lightweight", "residual"}
    assert {c.loss for c in configurations} == set(LOSSES)
    assert {c.optimizer for c in configurations} == set(OPTIMIZERS)
    assert {c.schedule for c in configurations} == set(SCHEDULES)
    assert {c.shift for c in configurations} == {0, 1, 2, 3}
    assert {c.width for c in configurations if c.family == "residual"} == {16, 32}
    assert {c.nesterov for c in configurations if c.optimizer == "sgd"} == {False, True}
    assert len(set(configurations)) == DRAWS


def test_a_parameter_is_drawn_only_where_it_applies(drawn: list[tuple[Configuration, dict[str, Any]]]) -> None:
    for configuration, parameters in drawn:
        family, optimizer = configuration.family, configuration.optimizer
        own = "residual_" if family == "residual" else ""
        names = {"hidden_layers", "hidden_size"} if family == "mlnn" else {f"{family}_width"}
        names |= {f"{own}{optimizer}_learning_rate", f"{optimizer}_weight_decay"}
        names |= {"momentum", "nesterov"} if optimizer == "sgd" else set()
        names |= {"label_smoothing"} & {configuration.loss}
        names |= {"focal_gamma"} if configuration.loss == "focal" else set()
        names |= {"constant_ema" if configuration.schedule == "constant" else "falling_ema"}
        names |= {f"{own}{name}" for name in ("dropout", "loss", "optimizer", "batch_size", "schedule", "dihedral")}
        names |= {"normalization", "stain", "cutout"} if family != "residual" else set()
        always = {"family", "shift"}
        assert set(parameters) == names | always
        assert configuration.ema or configuration.schedule == "constant", (
            "a falling rate is judged early by its average"
        )
        if family == "residual":  # what early rungs reward and the end does not is left out
            assert configuration.dihedral and configuration.schedule != "constant" and optimizer != "adam"


def test_parameters_of_is_the_inverse_of_suggest(
    recipe: Recipe, drawn: list[tuple[Configuration, dict[str, Any]]]
) -> None:
    for configuration, drawn_parameters in drawn:
        parameters, distributions = RecipeSpace(recipe).parameters_of(configuration)
        assert parameters == drawn_parameters
        assert RecipeSpace(recipe).suggest(optuna.trial.FixedTrial(parameters)) == configuration  # type: ignore[arg-type]
        assert list(parameters) == list(distributions)


def test_parameters_of_fit_a_trial_of_the_study(
    recipe: Recipe, drawn: list[tuple[Configuration, dict[str, Any]]]
) -> None:
    study = quiet_study()
    for configuration, _ in drawn[:50]:
        parameters, distributions = RecipeSpace(recipe).parameters_of(configuration)
        study.add_trial(optuna.create_trial(params=parameters, distributions=distributions, value=0.5))
    # Optuna refuses distributions of one name that differ; those of fresh suggestions are the same.
    known = {name: span for trial in study.trials for name, span in trial.distributions.items()}
    assert set(known) == {parameter.name for parameter in recipe.parameters}
    for _ in range(50):
        fresh = study.ask()
        RecipeSpace(recipe).suggest(fresh)
        assert fresh.distributions == {name: known[name] for name in fresh.params}


@pytest.mark.parametrize("name", ["default", "random", "mlnn", "cnn", "published", "smoke"])
def test_an_enqueued_configuration_comes_back_from_the_study(name: str) -> None:
    recipe, study = load_recipe(name), quiet_study()
    for entry in recipe.enqueued:
        parameters, _ = RecipeSpace(recipe).parameters_of(entry.configuration)
        study.enqueue_trial(parameters)
        assert RecipeSpace(recipe).suggest(study.ask()) == entry.configuration
    assert len(study.trials) == len(recipe.enqueued) > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 128}, r"^width = 128 is outside space.cnn_width$"),
        ({"width": 40}, r"^width = 40 is outside space.cnn_width$"),
        ({"width": 32, "learning_rate": 0.2}, r"^learning_rate = 0.2 is outside space.adam_learning_rate$"),
        ({"width": 32, "batch_size": 32}, r"^batch_size = 32 is outside space.batch_size$"),
        ({"width": 32, "batch_size": 128, "shift": 5}, r"^shift = 5 is outside space.shift$"),
    ],
)
def test_parameters_of_refuses_what_the_space_does_not_reach(
    recipe: Recipe, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        RecipeSpace(recipe).parameters_of(make_configuration("cnn", **changes))


@pytest.mark.parametrize(
    ("field", "span", "expected"),
    [
        ("batch_size", {"choices": (64, 128)}, CategoricalDistribution((64, 128))),
        ("shift", {"low": 0, "high": 3}, IntDistribution(0, 3)),
        ("width", {"low": 16, "high": 64, "step": 16}, IntDistribution(16, 64, step=16)),
        ("hidden_size", {"low": 256, "high": 1536, "log": True}, IntDistribution(256, 1536, log=True)),
        ("learning_rate", {"low": 0.001, "high": 0.1, "log": True}, FloatDistribution(0.001, 0.1, log=True)),
        ("dropout", {"low": 0, "high": 0.5, "step": 0.1}, FloatDistribution(0.0, 0.5, step=0.1)),
        # A range of floats stays one where both its ends are written as whole numbers.
        ("focal_gamma", {"low": 1, "high": 3}, FloatDistribution(1.0, 3.0)),
    ],
)
def test_distribution_follows_the_parameter(field: str, span: dict[str, Any], expected: object) -> None:
    assert distribution(Parameter(field, field, "test", **span)) == expected


def curve(*values: float) -> list[EpochRecord]:
    return [EpochRecord(epoch, 1.0, 1.0, value, value, 1.0) for epoch, value in enumerate(values, start=1)]


@pytest.mark.parametrize(
    ("curves", "scores"),
    [
        ({}, {}),
        ({0: {2: 0.1}, 1: {}}, {0: 0.1}),
        # From epoch 2 to 6 errors fall to a half and a quarter, in the median of logarithms to 0.5 ** 1.5.
        ({0: {2: 0.4, 6: 0.2}, 1: {2: 0.4, 6: 0.1}, 2: {2: 0.8}}, {0: 0.2, 1: 0.1, 2: 0.8 * 0.5**1.5}),
        # Two steps: 0.4 to 0.2 to 0.1.
        ({0: {2: 0.4, 6: 0.2, 27: 0.1}, 1: {2: 0.8, 6: 0.4}, 2: {2: 0.2}}, {0: 0.1, 1: 0.2, 2: 0.05}),
        # Nobody reached both epochs, as after a resume of another recipe: no change is assumed.
        ({0: {2: 0.4}, 1: {6: 0.2}}, {0: 0.4, 1: 0.2}),
        ({0: {2: 0.0}}, {0: 1e-6}),
    ],
)
def test_scores_are_predicted_for_the_highest_rung(
    curves: dict[int, dict[int, float]], scores: dict[int, float]
) -> None:
    found = predict_scores(curves)
    assert {number: math.exp(-score) for number, score in found.items()} == pytest.approx(scores)


def test_errors_fall_as_those_of_the_own_family_and_two_trials_of_all_families() -> None:
    # Logarithms to base 2: cnn fell by 1 and 1, residual by 3; the median of all is 1.
    curves = {0: {2: 0.8, 6: 0.4}, 1: {2: 0.8, 6: 0.4}, 2: {2: 0.8, 6: 0.1}, 3: {2: 0.8}, 4: {2: 0.8}, 5: {2: 0.8}}
    families = {0: "cnn", 1: "cnn", 2: "residual", 3: "cnn", 4: "residual", 5: "mlnn"}
    found = predict_scores(curves, families)
    falls = {number: math.log2(0.8) + score / math.log(2) for number, score in found.items()}
    assert falls == pytest.approx({0: 1, 1: 1, 2: 3, 3: 1, 4: (3 + 2 * 1) / 3, 5: 1})


def test_the_sampler_predicts_by_family(recipe: Recipe, drawn: list[tuple[Configuration, dict[str, Any]]]) -> None:
    # After epoch 1 both families have equal scores; only the residual network gained afterwards.
    examples = {configuration.family: configuration for configuration, _ in drawn}
    trials = [("residual", (0.5, 0.9, 0.95)), ("cnn", (0.5, 0.5, 0.5)), ("residual", (0.5,)), ("cnn", (0.5,))]
    sampler = StudySampler(dataclasses.replace(recipe, enqueued=(), startup_trials=0), seed=0)
    for number, (family, values) in enumerate(trials):
        record = make_record(Proposal(number, "", examples[family]), curve(*values), PRUNED)
        sampler.replay(record, curve(*values))
    sampler.ask(len(trials))
    scores = [trial.value for trial in sampler._study.trials[:4]]
    assert scores[2] > scores[3]


def test_a_trial_counts_where_it_stands_whether_it_is_paused_or_has_ended(recipe: Recipe) -> None:
    count = len(recipe.enqueued) + recipe.startup_trials + 8
    sampler, told, blind = (StudySampler(recipe, seed=3) for _ in range(3))
    for number in range(count):
        configuration = sampler.ask(number)
        blind.ask(number)
        epochs = curve(*([0.1 + 0.02 * number] * (1 + 2 * (number % 2))))
        for epoch in epochs:
            sampler.report(number, epoch.epoch, epoch.val_macro_f1)
        record = make_record(Proposal(number, "", configuration), epochs, PRUNED)
        if number % 3 == 0:
            sampler.tell(record)
        told.replay(record, epochs)
    asked = sampler.ask(count)
    assert asked == told.ask(count), "as if all had ended"
    assert [trial.state.name for trial in sampler._study.trials] == ["COMPLETE"] * count + ["RUNNING"]
    assert blind.ask(count) != asked


def test_a_trial_that_goes_on_counts_with_its_last_rung_and_a_failed_one_never(recipe: Recipe) -> None:
    sampler = StudySampler(recipe, seed=0)
    last = len(recipe.enqueued) + recipe.startup_trials
    configuration, _ = sampler.ask(0), sampler.ask(1)
    for epoch in curve(0.3, 0.2, 0.3, 0.4, 0.5, 0.6):
        sampler.report(0, epoch.epoch, epoch.val_macro_f1)
        sampler.report(1, epoch.epoch, epoch.val_macro_f1)
    sampler.tell(make_record(Proposal(1, "", configuration), curve(0.3), FAILED))
    sampler.ask(last)
    first, failed, _ = sampler._study.trials
    assert (first.state.name, first.value) == ("COMPLETE", pytest.approx(-math.log(0.7))), "0.3 at epoch 3"
    assert failed.state.name == "FAIL"


def test_the_family_is_drawn_as_often_as_it_is_among_the_good_trials(
    recipe: Recipe, drawn: list[tuple[Configuration, dict[str, Any]]]
) -> None:
    # Five residual networks lead, one of two lightweight ones comes sixth. A ratio of densities alone would propose
    # the lightweight network nearly always.
    families = ["residual"] * 15 + ["lightweight"] * 2 + ["cnn"] * 15 + ["mlnn"] * 15
    values = [0.96, 0.959, 0.958, 0.957, 0.956, *[0.93] * 10, 0.955, 0.85, *[0.8] * 30]
    examples = {configuration.family: configuration for configuration, _ in drawn}
    found = Counter[str]()
    for seed in range(40):
        sampler = StudySampler(dataclasses.replace(recipe, enqueued=(), startup_trials=0), seed)
        for number, (family, value) in enumerate(zip(families, values, strict=True)):
            epochs = curve(value, value)
            sampler.replay(make_record(Proposal(number, "", examples[family]), epochs, PRUNED), epochs)
        found[sampler.ask(len(families)).family] += 1
    assert found["residual"] > 2 * found["lightweight"]


def test_draw_seed_differs_by_trial_and_by_seed() -> None:
    drawn = {draw_seed(seed, number) for seed in range(20) for number in range(50)}
    assert len(drawn) == 1000
    assert draw_seed(3, 4) == draw_seed(3, 4)
