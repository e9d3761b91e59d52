import json
from itertools import pairwise

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.cli import main
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable


@pytest.fixture
def policy_file(arrays, tmp_path):
    outcomes = Outcomes.load(arrays)
    policy = fit_policy(outcomes, ServiceTable.from_costs([0.3, 2.1, 9.0], stages=outcomes.stages))
    policy.save(tmp_path / "policy.json")
    return tmp_path / "policy.json"


def test_it_prints_the_plan_and_the_thresholds(policy_file, capsys):
    assert main(["explain", "--policy", str(policy_file), "--budget-ms", "5"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(Policy.load(policy_file).explain(5.0))
    header = next(line for line in text.splitlines() if line.startswith("after  "))
    assert header.split() == ["after", "confidence", "from", "to", "then"]
    assert "run big" not in text


def test_without_a_budget_there_is_no_deadline(policy_file, capsys):
    assert main(["explain", "--policy", str(policy_file)]) == 0
    assert "without a deadline" in capsys.readouterr().out


def test_json_holds_intervals_that_cover_every_confidence(policy_file, capsys):
    assert main(["explain", "--policy", str(policy_file), "--budget-ms", "20", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["budget_ms"] == 20.0
    assert plan["expected"]["accuracy"] == pytest.approx(Policy.load(policy_file).expected(20.0).accuracy)
    for row in plan["thresholds"]:
        bounds = [(each["low"], each["high"]) for each in row["intervals"]]
        assert bounds[0][0] == 0.0
        assert bounds[-1][1] == 1.0
        assert all(before[1] == after[0] for before, after in pairwise(bounds))


def test_service_times_of_another_machine_change_what_fits(policy_file, tmp_path, capsys):
    ServiceTable.from_costs([0.1, 0.7, 3.0], stages=["small", "middle", "big"]).save(tmp_path / "fast.json")
    words = ["explain", "--policy", str(policy_file), "--budget-ms", "5", "--service", str(tmp_path / "fast.json")]
    assert main(words) == 0
    assert "run big" in capsys.readouterr().out


def test_nothing_is_expected_of_thresholds_set_by_hand(tmp_path, capsys):
    Policy.from_thresholds([0.9], ServiceTable.from_costs([1.0, 8.0])).save(tmp_path / "chain.json")
    assert main(["explain", "--policy", str(tmp_path / "chain.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["expected"] is None


def test_service_times_of_other_stages_are_refused(policy_file, tmp_path, capsys):
    ServiceTable.from_costs([1.0, 2.0]).save(tmp_path / "two.json")
    assert main(["explain", "--policy", str(policy_file), "--service", str(tmp_path / "two.json")]) == 2
    assert "error: expected service times of 3 stages" in capsys.readouterr().err


def test_a_missing_file_of_service_times_is_named(policy_file, tmp_path, capsys):
    assert main(["explain", "--policy", str(policy_file), "--service", str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err == f"error: No such file or directory: {tmp_path / 'none.json'}\n"


def test_a_damaged_policy_is_refused(tmp_path, capsys):
    path = tmp_path / "policy.json"
    path.write_text("{", encoding="utf-8")
    assert main(["explain", "--policy", str(path)]) == 2
    assert "error: expected a policy saved as JSON" in capsys.readouterr().err


def test_a_file_of_arrays_is_no_policy(tmp_path, capsys):
    path = tmp_path / "policy.npz"
    np.savez(path, labels=[0])
    assert main(["explain", "--policy", str(path)]) == 2
    assert "error: expected a policy saved as JSON" in capsys.readouterr().err
