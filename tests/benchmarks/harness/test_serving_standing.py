import numpy as np
import pytest
from harness.serving_cells import Cell
from harness.serving_standing import as_rows, cells_of, prototype_of, standing, summary

CELL = Cell("50", "poisson", 1.0, True)


def figures(**accuracy):
    """Effective accuracies by seed; all admitted requests in time but one in 200."""
    return {name.replace("_", ", "): np.array([[a, 0.995, 0.9] for a in values]) for name, values in accuracy.items()}


def test_the_best_rule_is_the_one_with_the_highest_mean_over_the_seeds():
    entry = standing(CELL, figures(cascade=[0.8, 0.8], steady=[0.75, 0.75], lucky=[0.9, 0.5]))
    assert (entry["rule"], entry["best"], entry["difference"]) == ("steady", 0.75, 0.05)


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [([0.80, 0.81, 0.82], "ahead"), ([0.70, 0.71, 0.72], "behind"), ([0.70, 0.76, 0.83], "level")],
)
def test_a_cell_is_decided_where_the_paired_interval_leaves_out_zero(ours, verdict):
    entry = standing(CELL, figures(cascade=ours, largest=[0.75, 0.76, 0.77]))
    assert entry["verdict"] == verdict


def test_the_interval_is_that_of_student_over_paired_differences():
    entry = standing(CELL, figures(cascade=[0.81, 0.83], largest=[0.80, 0.80]))
    assert entry["half"] == pytest.approx(12.7062 * 0.01, rel=1e-3)


def test_one_seed_decides_nothing():
    entry = standing(CELL, figures(cascade=[0.9], largest=[0.8]))
    assert (entry["verdict"], entry["half"]) == ("level", None)
    assert " - " in cells_of(entry)


def test_rules_with_the_drop_of_nexus_are_left_out_of_the_second_verdict():
    entry = standing(
        CELL, {**figures(cascade=[0.8], smallest=[0.7]), "smallest, Nexus drop": np.array([[0.9, 1.0, 1.0]])}
    )
    assert entry["rule"] == "smallest, Nexus drop"
    assert entry["without_nexus"]["rule"] == "smallest"


def test_the_prototype_was_tried_at_50_ms_with_spikes_only():
    entry = standing(CELL, figures(cascade=[0.8], largest=[0.7]))
    assert prototype_of(entry) == (0.843, 0.842)
    for other in (Cell("15", "poisson", 1.0, True), Cell("50", "poisson", 1.0, False), Cell("50", "mmpp", 1.0, True)):
        assert prototype_of(standing(other, figures(cascade=[0.8], largest=[0.7]))) is None


def test_the_summary_names_the_cells_that_miss_a_bar(capsys):
    calm = Cell("50", "poisson", 1.0, False)
    found = [standing(cell, figures(cascade=[0.80], largest=[0.81])) for cell in (CELL, calm)]
    told = summary(found)
    assert told["admitted requests late"] == ["50 poisson 1"]
    assert told["more than 0.5 points below the prototype"] == ["50 poisson 1 spikes"]
    assert told["all rules"]["cells"] == 2
    assert "below the best rule in 2 of 2 cells" in capsys.readouterr().out


def test_a_row_of_the_results_has_a_value_for_each_of_their_columns():
    written = as_rows([standing(CELL, figures(cascade=[0.8, 0.9], largest=[0.7, 0.7]))])
    [row] = written["cells"]
    values = dict(zip(written["columns"], row, strict=True))
    assert (values["slo"], values["cascade"], values["rule_without_nexus"]) == ("50", 0.85, "largest")
