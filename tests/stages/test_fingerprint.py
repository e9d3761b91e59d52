import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from cascade.stages.fingerprint import digest, function_fingerprint

REPOSITORY = Path(__file__).resolve().parents[2]


def scaled(factor):
    def scale(batch):
        return batch * factor

    return scale


def make(source, name="fn"):
    scope = {"np": np, "__name__": "somewhere"}
    exec(source, scope)
    return scope[name]


class Scaler:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, batch):
        return batch * self.factor

    def shift(self, batch):
        return batch + self.factor


DIFFERENT = [
    (make("def fn(x): return x + 1"), make("def fn(x): return x + 2")),
    (make("def fn(x): return x + 1"), make("def fn(x): return x - 1")),
    (make("def fn(x): return x + 1"), make("def other(x): return x + 1", "other")),
    (make("def fn(x): return np.exp(x)"), make("def fn(x): return np.log(x)")),
    (make("def fn(x, k=1): return x"), make("def fn(x, k=2): return x")),
    (make("def fn(x, *, k=1): return x"), make("def fn(x, *, k=2): return x")),
    (make("fn = lambda x: [y + 1 for y in x]"), make("fn = lambda x: [y + 2 for y in x]")),
    (make("fn = lambda x: 1"), make("fn = lambda x: 1.0")),
    (make("fn = lambda x: x in {1, 2}"), make("fn = lambda x: x in {1, 3}")),
    (scaled(1), scaled(2)),
    (scaled(np.zeros(3)), scaled(np.ones(3))),
    (scaled(np.float32(1)), scaled(np.float32(2))),
    (scaled({"a": [1, 2]}), scaled({"a": [1, 3]})),
    (scaled({1, 2}), scaled({1, 3})),
    (scaled(scaled(1)), scaled(scaled(2))),
    (partial(np.dot, 1), partial(np.dot, 2)),
    (Scaler(1), Scaler(2)),
    (Scaler(1).shift, Scaler(2).shift),
    (Scaler(1).shift, Scaler(1)),
    (np.exp, np.log),
    (len, sum),
    (int, float),
]


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_what_differs_has_another_fingerprint(first, second):
    assert function_fingerprint(first) != function_fingerprint(second)


@pytest.mark.parametrize(
    "build",
    [
        lambda: make("def fn(x): return [y + 1 for y in x]"),
        lambda: scaled(2),
        lambda: scaled(np.arange(3)),
        lambda: scaled({"b", "a", "c"}),
        lambda: scaled(object()),
        lambda: partial(np.dot, 2),
        lambda: Scaler(2),
        lambda: Scaler(2).shift,
    ],
)
def test_what_is_built_the_same_way_has_the_same_fingerprint(build):
    assert function_fingerprint(build()) == function_fingerprint(build())


def test_a_function_that_refers_to_itself_has_a_fingerprint():
    def recursive(batch):
        return recursive(batch)

    assert len(function_fingerprint(recursive)) == 32


def test_a_closure_that_is_not_filled_yet_has_a_fingerprint():
    def early():
        return late

    assert len(function_fingerprint(early)) == 32
    late = 1


def test_parts_of_a_digest_do_not_run_together():
    assert digest("ab", "c") != digest("a", "bc")


@pytest.mark.slow
def test_another_process_finds_the_same_fingerprint(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from cascade.stages.fingerprint import function_fingerprint\n"
        "from functools import partial\n"
        "offsets = {'b', 'a', 'c'}\n"
        "def make(names):\n"
        "    return lambda batch, k=(1, 'x'): [batch + k for name in names if name in {'p', 'q', 'r'}]\n"
        "print(function_fingerprint(partial(make(offsets), 2)))\n"
    )
    found = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(REPOSITORY)}
        found.add(subprocess.run([sys.executable, script], env=env, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1
