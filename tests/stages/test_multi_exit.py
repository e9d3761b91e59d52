import copy
import threading

import numpy as np
import pytest
import torch
from torch import nn

from cascade.errors import ConfigurationError, InputMismatch, StageOutputError
from cascade.stages.multi_exit import multi_exit


def blocks_of(net):
    return net.segments if hasattr(net, "segments") else net.blocks


def heads_of(net):
    return net.exits if hasattr(net, "exits") else net.heads


def count_rows(modules):
    """Rows that each module has run so far, as a list that grows with every call."""
    counts = [[] for _ in modules]
    for module, rows in zip(modules, counts, strict=True):
        module.register_forward_hook(lambda _, inputs, __, rows=rows: rows.append(len(inputs[0])))
    return counts


def reference(net, X):
    """The logits of every exit, for all rows, by hand."""
    net = copy.deepcopy(net).eval()
    x = torch.from_numpy(X)
    logits = []
    with torch.inference_mode():
        for block, head in zip(blocks_of(net), heads_of(net), strict=True):
            x = block(x)
            logits.append(head(x).numpy())
    return logits


def same(scores, expected):
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)


def forward(stages, X):
    """Run every exit on all rows, each from the carry of the one before."""
    carry, scores = None, []
    for stage in stages:
        out, carry = stage.run(X, carry)
        scores.append(out)
    return scores


def test_exits_answer_as_the_whole_network(exit_net, X):
    for scores, expected in zip(forward(multi_exit(exit_net, device="cpu"), X), reference(exit_net, X), strict=True):
        same(scores, expected)


def test_an_exit_without_a_carry_starts_from_the_input(exit_net, X):
    for stage, expected in zip(multi_exit(exit_net, device="cpu"), reference(exit_net, X), strict=True):
        same(stage.run(X)[0], expected)


def test_an_exit_goes_on_from_an_exit_that_was_run_without_a_carry(exit_net, X):
    _, second, third = multi_exit(exit_net, device="cpu")
    same(third.run(X, second.run(X)[1])[0], reference(exit_net, X)[2])


def test_the_last_exit_carries_nothing_on(exit_net, X):
    assert multi_exit(exit_net, device="cpu")[-1].run(X)[1] is None


def test_rows_taken_go_on_in_the_order_taken(exit_net, X):
    first, second, third = multi_exit(exit_net, device="cpu")
    rows = np.array([7, 2, 2, 20])
    carry = first.take(first.run(X)[1], rows)
    scores, carry = second.run(X[rows], carry)
    same(scores, reference(exit_net, X)[1][rows])
    again = np.array([3, 0])
    scores, _ = third.run(X[rows[again]], second.take(carry, again))
    same(scores, reference(exit_net, X)[2][rows[again]])


def test_takes_of_takes_are_takes(exit_net, X):
    first, second, _ = multi_exit(exit_net, device="cpu")
    carry = first.take(first.take(first.run(X)[1], np.array([9, 8, 7])), np.array([2, 0]))
    same(second.run(X[[7, 9]], carry)[0], reference(exit_net, X)[1][[7, 9]])


def test_a_carry_can_be_used_again_and_again(exit_net, X):
    first, second, third = multi_exit(exit_net, device="cpu")
    _, carry = first.run(X)
    expected = reference(exit_net, X)
    for rows in (np.array([1, 2]), np.arange(30), np.array([5])):
        scores, onward = second.run(X[rows], first.take(carry, rows))
        same(scores, expected[1][rows])
        same(third.run(X[rows], onward)[0], expected[2][rows])


def test_carries_of_several_runs_are_joined(exit_net, X):
    first, second, third = multi_exit(exit_net, device="cpu")
    early, late = np.array([4, 1]), np.array([9, 3, 2])
    carries = [first.run(X[:5])[1], first.run(X[5:])[1]]
    joined = first.join([first.take(carries[0], early), first.take(carries[1], late)])
    rows = np.concatenate([early, late + 5])
    scores, carry = second.run(X[rows], joined)
    same(scores, reference(exit_net, X)[1][rows])
    same(third.run(X[rows], carry)[0], reference(exit_net, X)[2][rows])


def test_parts_of_one_carry_are_joined(exit_net, X):
    first, second, _ = multi_exit(exit_net, device="cpu")
    _, carry = first.run(X)
    rows = np.array([8, 3, 5])
    joined = first.join([first.take(carry, rows[:2]), first.take(carry, rows[2:])])
    same(second.run(X[rows], joined)[0], reference(exit_net, X)[1][rows])


def test_a_whole_carry_is_joined_with_a_part_of_itself(exit_net, X):
    first, second, _ = multi_exit(exit_net, device="cpu")
    _, carry = first.run(X)
    rows = np.concatenate([np.arange(30), [4]])
    joined = first.join([carry, first.take(carry, np.array([4]))])
    same(second.run(X[rows], joined)[0], reference(exit_net, X)[1][rows])


def test_a_carry_joined_alone_is_itself(exit_net, X):
    first, second, _ = multi_exit(exit_net, device="cpu")
    same(second.run(X, first.join([first.run(X)[1]]))[0], reference(exit_net, X)[1])


def test_a_missing_carry_makes_the_next_exit_start_from_the_input(exit_net, X):
    first, _, _ = multi_exit(exit_net, device="cpu")
    _, carry = first.run(X)
    assert first.take(None, np.array([0])) is None
    assert first.join([carry, None]) is None
    assert first.join([]) is None


def test_later_changes_of_the_batch_do_not_reach_a_carry(exit_net, X):
    first, second, _ = multi_exit(exit_net, device="cpu")
    batch = X.copy()
    _, carry = first.run(batch)
    batch[:] = 0
    for _ in range(2):
        same(second.run(batch, carry)[0], reference(exit_net, X)[1])


def test_preprocess_runs_only_where_the_input_is_read(exit_net, X):
    calls = []

    def halve(batch):
        calls.append(len(batch))
        return batch / 2

    first, second, _ = multi_exit(exit_net, device="cpu", preprocess=halve)
    _, carry = first.run(X)
    for _ in range(2):
        same(second.run(X, carry)[0], reference(exit_net, X / np.float32(2))[1])
    assert calls == [30]


def test_a_network_flipped_back_to_training_still_answers_right(exit_net, X):
    stages = multi_exit(exit_net, device="cpu")
    exit_net.train()
    _, carry = stages[0].run(X)
    exit_net.train()
    stages[1].run(X, carry)
    assert not any(part.training for part in exit_net.modules())


def test_threads_that_go_on_from_one_carry_all_get_right_answers(exit_net, X):
    first, second, _ = multi_exit(exit_net, device="cpu")
    _, carry = first.run(X)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(second.run(X, carry)[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    for scores in answers:
        same(scores, reference(exit_net, X)[1])


def test_rows_that_exit_are_not_computed_further(exit_net, X):
    stages = multi_exit(exit_net, device="cpu")
    blocks, heads = count_rows(blocks_of(exit_net)), count_rows(heads_of(exit_net))
    _, carry = stages[0].run(X)
    carry = stages[0].take(carry, np.arange(12))
    _, carry = stages[1].run(X[:12], carry)
    carry = stages[1].take(carry, np.array([11, 0, 5]))
    stages[2].run(X[[11, 0, 5]], carry)
    assert blocks[0] == [30]
    # The generator learns which rows go on when it is resumed, before its next block.
    assert blocks[1] == [12]
    assert blocks[2] == [3]
    assert heads == [[30], [12], [3]]


def test_all_rows_are_computed_once_where_none_exit(exit_net, X):
    stages = multi_exit(exit_net, device="cpu")
    blocks = count_rows(blocks_of(exit_net))
    forward(stages, X)
    assert blocks == [[30], [30], [30]]


def test_parts_of_one_carry_that_are_joined_compute_nothing_twice(exit_net, X):
    first, second, _ = multi_exit(exit_net, device="cpu")
    blocks = count_rows(blocks_of(exit_net))
    _, carry = first.run(X)
    second.run(X[[3, 9]], first.join([first.take(carry, np.array([3])), first.take(carry, np.array([9]))]))
    assert blocks == [[30], [2], []]


def test_segments_that_are_joined_from_several_runs_compute_nothing_twice(cut_net, X):
    first, second, _ = multi_exit(cut_net, device="cpu")
    blocks = count_rows(cut_net.segments)
    carries = [first.run(X[:10])[1], first.run(X[10:])[1]]
    second.run(X, first.join(carries))
    assert blocks == [[10, 20], [30], []]


def test_an_exit_without_a_carry_runs_its_own_head_only(cut_net, X):
    heads = count_rows(cut_net.exits)
    multi_exit(cut_net, device="cpu")[2].run(X)
    assert heads == [[], [], [30]]


def test_a_generator_that_went_on_already_starts_again_for_the_rows_asked(yielding_net, X):
    first, second, _ = multi_exit(yielding_net, device="cpu")
    blocks = count_rows(yielding_net.blocks)
    _, carry = first.run(X)
    second.run(X[:4], first.take(carry, np.arange(4)))
    second.run(X[4:6], first.take(carry, np.array([4, 5])))
    assert blocks == [[30, 2], [4, 2], []]


def test_exits_are_named_after_the_network_and_require_the_one_before(cut_net):
    stages = multi_exit(cut_net, device="cpu")
    assert [stage.name for stage in stages] == ["cutnet/exit0", "cutnet/exit1", "cutnet/exit2"]
    assert [stage.requires for stage in stages] == [None, "cutnet/exit0", "cutnet/exit1"]
    assert {(stage.scores, stage.classes, stage.device) for stage in stages} == {("logits", None, "cpu")}


def test_exits_may_be_named_by_a_prefix_or_one_by_one(exit_net):
    assert multi_exit(exit_net, name="net", device="cpu")[2].name == "net/exit2"
    stages = multi_exit(exit_net, names=["a", "b", "c"], device="cpu")
    assert [stage.name for stage in stages] == ["a", "b", "c"]
    assert [stage.requires for stage in stages] == [None, "a", "b"]


def test_every_exit_has_its_own_fingerprint(exit_net):
    fingerprints = [stage.fingerprint for stage in multi_exit(exit_net, device="cpu")]
    assert len(set(fingerprints)) == 3
    assert fingerprints == [stage.fingerprint for stage in multi_exit(copy.deepcopy(exit_net), device="cpu")]


def test_every_exit_has_its_own_version(exit_net):
    stages = multi_exit(exit_net, device="cpu", version="7")
    assert [stage.fingerprint for stage in stages] == ["7/exit0", "7/exit1", "7/exit2"]


def test_classes_are_those_of_every_exit(exit_net):
    assert {stage.classes for stage in multi_exit(exit_net, device="cpu", classes="abc")} == {("a", "b", "c")}


def test_the_number_of_yields_may_be_given(yielding_net, X):
    assert len(multi_exit(yielding_net, device="cpu", n_exits=2)) == 2


def test_a_network_of_another_kind_is_refused():
    with pytest.raises(ConfigurationError, match=r"expected a torch\.nn\.Module with exits, got a function"):
        multi_exit(lambda batch: batch)


def test_a_module_without_exits_is_refused():
    with pytest.raises(
        ConfigurationError, match="network 'linear': expected a module with segments and exits .* neither"
    ):
        multi_exit(nn.Linear(1, 1))


def test_different_numbers_of_segments_and_exits_are_refused(cut_net):
    cut_net.exits.append(nn.Linear(8, 3))
    with pytest.raises(ConfigurationError, match="as many segments as exits.*got 3 segments and 4 exits"):
        multi_exit(cut_net)


def test_no_segments_are_refused(cut_net):
    cut_net.segments, cut_net.exits = nn.ModuleList(), nn.ModuleList()
    with pytest.raises(ConfigurationError, match="got 0 segments and 0 exits"):
        multi_exit(cut_net)


def test_a_number_of_exits_that_differs_from_the_modules_is_refused(cut_net):
    with pytest.raises(ConfigurationError, match="n_exits=2, but the module has 3 exits"):
        multi_exit(cut_net, n_exits=2)


@pytest.mark.parametrize("n_exits", [0, -1, 2.0, True, "3"])
def test_a_number_of_yields_that_is_none_is_refused(yielding_net, n_exits):
    with pytest.raises(ConfigurationError, match=f"expected the number of yields of forward_exits.*got {n_exits!r}"):
        multi_exit(yielding_net, n_exits=n_exits)


def test_a_generator_without_a_number_of_yields_is_refused(yielding_net, monkeypatch):
    monkeypatch.delattr(type(yielding_net), "n_exits")
    with pytest.raises(ConfigurationError, match=r"as the attribute n_exits or as n_exits=, got None"):
        multi_exit(yielding_net)


def test_a_prefix_and_names_together_are_refused(exit_net):
    with pytest.raises(ConfigurationError, match=r"give name= or names=, not both: got 'net' and \['a', 'b', 'c'\]"):
        multi_exit(exit_net, name="net", names=["a", "b", "c"])


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "b"]])
def test_names_that_are_not_one_per_exit_are_refused(exit_net, names):
    with pytest.raises(ConfigurationError, match="expected 3 different names, one per exit"):
        multi_exit(exit_net, names=names)


def test_a_carry_of_other_rows_is_refused(exit_net, X):
    first, second, _ = multi_exit(exit_net, device="cpu")
    _, carry = first.run(X)
    with pytest.raises(InputMismatch, match=r"stage '.*/exit1': expected a carry of the batch's 4 rows, got 30"):
        second.run(X[:4], carry)


def test_logits_of_another_width_than_the_classes_are_refused(exit_net, X):
    with pytest.raises(StageOutputError, match="one column of scores per class, 2 of them"):
        multi_exit(exit_net, device="cpu", classes=["a", "b"])[0].run(X)


def test_a_segment_that_returns_no_tensor_is_refused(cut_net, X):
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    cut_net.segments[1] = Pair()
    with pytest.raises(StageOutputError, match=r"expected segment 1 to return a tensor of features, got a tuple"):
        multi_exit(cut_net, device="cpu")[1].run(X)


def test_a_generator_that_ends_too_early_is_refused(yielding_net, X):
    stages = multi_exit(yielding_net, device="cpu", n_exits=4)
    with pytest.raises(StageOutputError, match="to yield logits at exit 3, but it ended before; n_exits must be"):
        stages[3].run(X)
    with pytest.raises(StageOutputError, match="exit 3"):
        stages[3].run(X, stages[2].run(X)[1])


def test_a_generator_that_keeps_all_rows_is_refused(yielding_net, X, monkeypatch):
    def forward_exits(self, x):
        for block, head in zip(self.blocks, self.heads, strict=True):
            x = block(x)
            yield head(x)

    monkeypatch.setattr(type(yielding_net), "forward_exits", forward_exits)
    first, second, _ = multi_exit(yielding_net, device="cpu")
    carry = first.take(first.run(X)[1], np.arange(3))
    with pytest.raises(StageOutputError, match="one row of scores per item, 3 of them, got an array of shape"):
        second.run(X[:3], carry)


def test_a_method_that_is_no_generator_is_refused(yielding_net, X, monkeypatch):
    monkeypatch.setattr(type(yielding_net), "forward_exits", lambda self, x: [x, x, x])
    with pytest.raises(StageOutputError, match="expected forward_exits to be a generator .* but it returned a list"):
        multi_exit(yielding_net, device="cpu")[0].run(X)


def test_after_an_error_a_generator_starts_again(yielding_net, X):
    first, second, _ = multi_exit(yielding_net, device="cpu")
    _, carry = first.run(X)

    def fail(*_):
        raise KeyError("once")

    hook = yielding_net.blocks[1].register_forward_pre_hook(fail)
    with pytest.raises(KeyError, match="once"):
        second.run(X, carry)
    hook.remove()
    same(second.run(X, carry)[0], reference(yielding_net, X)[1])


@pytest.mark.gpu
def test_exits_on_cuda_answer_as_on_the_cpu(exit_net, X):
    expected = reference(exit_net, X)
    stages = multi_exit(exit_net, device="cuda")
    rows = np.array([3, 1, 8])
    _, carry = stages[0].run(X)
    parts = [stages[0].take(carry, rows[:1]), stages[0].take(carry, rows[1:])]
    scores, carry = stages[1].run(X[rows], stages[0].join(parts))
    np.testing.assert_allclose(scores, expected[1][rows], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(stages[2].run(X[rows], carry)[0], expected[2][rows], rtol=1e-4, atol=1e-5)
