import pytest

from cascade.cli.race import race
from cascade.clock import VirtualClock


def contestant(clock, labels, times_ms, path=("small",)):
    """Answers image i with ``labels[i]`` after ``times_ms[i]`` on the clock."""

    def answer(image):
        clock.wait(times_ms[image])
        return labels[image], path

    return answer


def test_accuracy_counts_right_labels_and_late_ones_too():
    clock = VirtualClock()
    answer = contestant(clock, labels=[0, 1, 1, 3], times_ms=[1.0, 1.0, 9.0, 9.0])
    (row,) = race({"one": answer}, range(4), [0, 1, 2, 3], budget_ms=5.0, warm_up=[], clock=clock)
    assert (row.n, row.accuracy, row.in_time) == (4, 0.75, 0.5)
    assert row.ci_low < 0.75 < row.ci_high


def test_latency_is_what_passed_on_the_clock():
    clock = VirtualClock()
    answer = contestant(clock, labels=[0] * 3, times_ms=[1.0, 2.0, 6.0])
    (row,) = race({"one": answer}, range(3), [0] * 3, budget_ms=None, warm_up=[], clock=clock)
    assert (row.mean_ms, row.p50_ms, row.in_time) == (pytest.approx(3.0), pytest.approx(2.0), 1.0)


def test_an_answer_at_the_last_instant_is_in_time():
    clock = VirtualClock()
    answer = contestant(clock, labels=[0], times_ms=[2.0])
    (row,) = race({"one": answer}, [0], [0], budget_ms=2.0, warm_up=[], clock=clock)
    assert row.in_time == 1.0


def test_warm_up_is_answered_and_not_measured():
    clock = VirtualClock()
    asked = []

    def answer(image):
        asked.append(image)
        return 0, ("small",)

    (row,) = race({"one": answer}, [7, 8], [0, 0], budget_ms=None, warm_up=[1, 2, 3], clock=clock)
    assert asked == [1, 2, 3, 7, 8]
    assert row.n == 2


def test_every_contestant_answers_every_image_and_they_take_turns():
    clock = VirtualClock()
    asked = []

    def asking(name):
        def answer(image):
            asked.append((name, image))
            return 0, (name,)

        return answer

    images = range(60)
    rows = race({n: asking(n) for n in "ab"}, images, [0] * 60, budget_ms=None, warm_up=[], clock=clock)
    assert [row.contestant for row in rows] == ["a", "b"]
    for name in "ab":
        assert [image for who, image in asked if who == name] == list(images)
    assert asked.index(("b", 0)) < asked.index(("a", 59))


def test_paths_are_counted_the_most_frequent_first():
    clock = VirtualClock()

    def answer(image):
        return 0, ("small", "big") if image < 3 else ("small",)

    (row,) = race({"one": answer}, range(12), [0] * 12, budget_ms=None, warm_up=[], clock=clock)
    assert list(row.path_shares.items()) == [("small", 0.75), ("small > big", 0.25)]
