"""Policies in files: what is kept, and how damage is told."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from cascade.calibration.fit import fit_policy
from cascade.core.inputs import InputSpec
from cascade.core.outcomes import Outcomes
from cascade.core.policy import Policy
from cascade.core.policy_json import FORMAT
from cascade.core.service import ServiceTable
from cascade.errors import ConfigurationError, CorruptPolicy

SERVICE = ServiceTable.from_costs([1.0, 4.0])


@pytest.fixture(scope="module")
def policy(ladder):
    return fit_policy(ladder(n=300, k=2), SERVICE)


@pytest.fixture(scope="module")
def saved(policy):
    return json.dumps(policy.to_dict())


def loaded_after(saved, damage, path):
    data = json.loads(saved)
    damage(data)
    path.write_text(json.dumps(data))
    return Policy.load(path)


def set_in(*keys, to):
    def damage(data):
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = to

    return damage


def without(*keys):
    def damage(data):
        for key in keys[:-1]:
            data = data[key]
        del data[keys[-1]]

    return damage


def test_fingerprints_and_inputs_are_kept(policy, tmp_path):
    marked = replace(policy, fingerprints=("a1", "b2"), inputs=InputSpec((3, 8, 8), "float32"))
    marked.save(tmp_path / "policy.json")
    loaded = Policy.load(str(tmp_path / "policy.json"))
    assert loaded.fingerprints == ("a1", "b2")
    assert loaded.inputs == InputSpec((3, 8, 8), "float32")
    shapeless = replace(policy, inputs=InputSpec(None, None))
    assert Policy.from_dict(shapeless.to_dict()) == shapeless


def test_the_file_is_plain_json(policy, saved):
    assert json.loads(saved)["format"] == FORMAT
    assert Policy.from_dict(json.loads(saved)) == policy


ENTRIES = ("stages", "classes", "requires", "chain", "level", "cost_weight", "drop", "audit")
MORE_ENTRIES = ("fingerprints", "inputs", "n_items", "service", "evidence", "statistics")


@pytest.mark.parametrize("entry", ENTRIES + MORE_ENTRIES)
def test_a_missing_entry_is_named(saved, tmp_path, entry):
    with pytest.raises(CorruptPolicy, match=f"without the entry '{entry}': copy the file again"):
        loaded_after(saved, without(entry), tmp_path / "bad.json")


NAN = float("nan")


@pytest.mark.parametrize(
    "damage",
    [
        set_in("statistics", "accuracy", "base64", to="AAAA"),
        set_in("statistics", "accuracy", "base64", to="not base64!"),
        set_in("statistics", "accuracy", "dtype", to="object"),
        set_in("statistics", "accuracy", to=[1.0]),
        set_in("statistics", "requires", to=[-1, 0]),
        set_in("statistics", to=None),
        set_in("evidence", to=None),
        set_in("evidence", to=[]),
        set_in("evidence", "weights", "shape", to=[1, 1]),
        set_in("evidence", "weights", "shape", to=[2, 4]),
        set_in("evidence", "form", to="magic"),
        set_in("evidence", "form", to="stacked"),
        set_in("chain", to=[0.5]),
        set_in("stages", to=["stage0", "stage1", "ghost"]),
        set_in("stages", to=["stage0"]),
        set_in("stages", to=["stage0", "stage0"]),
        set_in("stages", to=["stage0", 7]),
        set_in("stages", to=[]),
        set_in("stages", to=7),
        set_in("classes", to=[0, 1, 2]),
        set_in("classes", to=[0, 1, 2, 2]),
        set_in("classes", to=[0, 1, 2, [3]]),
        set_in("classes", to=[0, 1, 2, {"pair": []}]),
        set_in("requires", to=[-1, 1]),
        set_in("requires", to=[-1]),
        set_in("level", to=NAN),
        set_in("level", to=0.9999),
        set_in("drop", to=NAN),
        set_in("drop", to=-0.1),
        set_in("cost_weight", to=float("inf")),
        set_in("n_items", to=NAN),
        set_in("n_items", to=float("inf")),
        set_in("n_items", to=-1),
        set_in("fingerprints", to=["one"]),
        set_in("inputs", to="flat"),
        set_in("service", to={}),
        set_in("service", "costs", to=[1.0]),
        set_in("service", "mean_ms", to=[[NAN], [1.0]]),
        set_in("audit", "shape", to=[-1, 1]),
        set_in("audit", to=None),
    ],
)
def test_a_damaged_entry_is_called_damage_and_the_file_is_named(saved, tmp_path, damage):
    with pytest.raises(CorruptPolicy, match=r"bad\.json: expected a complete policy, got"):
        loaded_after(saved, damage, tmp_path / "bad.json")


@pytest.mark.parametrize("name", ["accuracy", "edges", "transitions"])
def test_a_number_that_is_none_inside_an_array_is_found(policy, tmp_path, name):
    array = getattr(policy.statistics, name).copy()
    array.flat[-1] = np.nan
    broken = replace(policy, statistics=replace(policy.statistics, **{name: array}))
    (tmp_path / "bad.json").write_text(json.dumps(broken.to_dict()))
    with pytest.raises(CorruptPolicy, match="expected finite numbers, got an array of shape"):
        Policy.load(tmp_path / "bad.json")


def test_bins_of_another_number_do_not_fit(policy, saved, tmp_path):
    data = json.loads(saved)
    accuracy = policy.statistics.accuracy[:, :-1]
    wider = replace(policy, statistics=replace(policy.statistics, accuracy=np.ascontiguousarray(accuracy)))
    data["statistics"] = wider.to_dict()["statistics"]
    (tmp_path / "bad.json").write_text(json.dumps(data))
    with pytest.raises(CorruptPolicy, match=r"statistics.edges of shape .* where .* fits the stages and classes"):
        Policy.load(tmp_path / "bad.json")


@pytest.mark.parametrize("found", ["cascade.Policy/99", None, 3])
def test_another_format_is_called_by_its_name(saved, tmp_path, found):
    with pytest.raises(CorruptPolicy, match=f"expected a policy of format '{FORMAT}', got {found!r}"):
        loaded_after(saved, set_in("format", to=found), tmp_path / "bad.json")


@pytest.mark.parametrize("text", ["", "{", "[1, 2", "\x00\x01", "[" * 100_000])
def test_a_file_that_is_no_json_is_called_corrupt(tmp_path, text):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(CorruptPolicy, match=r"expected a policy saved as JSON at .*bad\.json"):
        Policy.load(tmp_path / "bad.json")


def test_a_truncated_file_is_called_corrupt(saved, tmp_path):
    (tmp_path / "bad.json").write_text(saved[: len(saved) // 2])
    with pytest.raises(CorruptPolicy, match=r"expected a policy saved as JSON at .*bad\.json"):
        Policy.load(tmp_path / "bad.json")


def test_json_of_something_else_is_called_by_its_type(tmp_path):
    (tmp_path / "bad.json").write_text("[1, 2]")
    with pytest.raises(CorruptPolicy, match="got 'list': save it again"):
        Policy.load(tmp_path / "bad.json")


def test_a_path_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xff")
    for path in (tmp_path / "missing.json", tmp_path, tmp_path / "binary"):
        with pytest.raises(CorruptPolicy, match=f"saved as JSON at {path}"):
            Policy.load(path)


@pytest.mark.parametrize(
    "labels", [[frozenset({0}), frozenset({1})], [float("inf"), 0.0], [b"a", b"b"], [(1, b"a"), (2,)]]
)
def test_labels_that_json_cannot_hold_are_named_and_nothing_is_written(ladder, tmp_path, labels):
    outcomes = ladder(n=300, k=2, c=2)
    strange = Outcomes.from_probs(np.exp(outcomes.log_probs), [labels[y] for y in outcomes.labels], classes=labels)
    with pytest.raises(ConfigurationError, match="map the labels before fitting"):
        fit_policy(strange, SERVICE).save(tmp_path / "policy.json")
    assert not (tmp_path / "policy.json").exists()


def test_a_policy_whose_labels_cannot_be_saved_still_equals_itself(ladder):
    outcomes = ladder(n=300, k=2, c=2)
    labels = [frozenset({0}), frozenset({1})]
    strange = Outcomes.from_probs(np.exp(outcomes.log_probs), [labels[y] for y in outcomes.labels], classes=labels)
    assert fit_policy(strange, SERVICE) == fit_policy(strange, SERVICE)


def test_a_stacked_policy_with_tables_cut_short_is_called_damaged(votes, tmp_path):
    fitted = fit_policy(votes(k=2), SERVICE)
    cut = replace(fitted, evidence=replace(fitted.evidence, tables=fitted.evidence.tables[:, :, :, :2].copy()))
    cut.save(tmp_path / "bad.json")
    with pytest.raises(CorruptPolicy, match=r"evidence\.tables of shape"):
        Policy.load(tmp_path / "bad.json")
