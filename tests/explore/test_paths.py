"""Where requests go: shares add up, bands meet, and nothing is left out."""

import itertools

import numpy as np
import pytest

from cascade.core.replay import Replay
from cascade.errors import ConfigurationError
from cascade.explore.paths import exit_rates, plot_exit_rates, plot_path_flow

pytestmark = pytest.mark.usefixtures("_closed_pictures")


def replayed(counts):
    n = sum(counts.values())
    places = np.repeat(np.arange(len(counts)), list(counts.values()))
    return Replay(np.zeros(n, np.int64), np.ones(n), np.ones(n, bool), np.ones(n), np.ones(n), counts, places)


FORKED = {("a",): 50, ("a", "b"): 30, ("a", "b", "c"): 10, ("a", "c"): 9, ("c",): 1}


def words(axes):
    return [text.get_text() for text in axes.texts]


def test_rates_are_those_of_the_replays_by_ascending_budget():
    rates = exit_rates({None: replayed({("a", "b"): 3, ("a",): 1}), 2.0: replayed({("a",): 4})})
    assert rates == {("a",): [1.0, 0.25], ("a", "b"): [0.0, 0.75]}


@pytest.mark.slow
def test_the_bands_of_all_paths_fill_the_picture(ladder):
    replays = {budget_ms: ladder.policy.replay(ladder.fresh, budget_ms) for budget_ms in (1.5, 6.0, 20.0, None)}
    axes = plot_exit_rates(replays)
    tops = [band.get_paths()[0].vertices[:, 1].max() for band in axes.collections]
    assert max(tops) == pytest.approx(100.0)
    assert "no\ndeadline" in words(axes)


@pytest.mark.slow
def test_rare_paths_share_one_band():
    many = {tuple("abcdefghij"[: k + 1]): 10 - k for k in range(10)}
    axes = plot_exit_rates({1.0: replayed(many), 2.0: replayed(many)})
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert len(names) == 8
    assert "3 other paths" in names


@pytest.mark.parametrize("budgets", [(1.0, None), (0.0, 2.0)])
def test_fewer_than_two_budgets_are_refused(budgets):
    with pytest.raises(ConfigurationError, match="expected replays under at least two budgets above 0 ms"):
        plot_exit_rates({budget_ms: replayed({("a",): 1}) for budget_ms in budgets})


@pytest.mark.slow
def test_the_flow_says_which_share_answers_where():
    axes = plot_path_flow(replayed(FORKED))
    assert [word for word in words(axes) if word.startswith("answered")] == [
        "answered 50.0 %",
        "answered 30.0 %",
        "answered 10.0 %",
        "answered 9.0 %",
    ]
    assert "a\n99.0 %" in words(axes)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["first stage", "second", "third"]


@pytest.mark.slow
def test_a_name_wider_than_its_bar_keeps_its_beginning_and_its_end():
    assert "netwo…th 16\n100.0 %" in words(plot_path_flow(replayed({("network of depth 16",): 4})))


@pytest.mark.slow
def test_bars_of_one_step_never_overlap():
    axes = plot_path_flow(replayed(FORKED))
    bars = [bar for bar in axes.patches if bar.get_width() == pytest.approx(0.36)]
    assert sum(bar.get_height() for bar in bars if bar.get_x() == 0.0) == pytest.approx(1.0)
    for step in range(3):
        spans = sorted((bar.get_y(), bar.get_y() + bar.get_height()) for bar in bars if bar.get_x() == step)
        assert all(end < start for (_, end), (start, _) in itertools.pairwise(spans))
