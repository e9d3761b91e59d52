import re
import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "thread_pool.py"


@pytest.mark.slow
def test_a_lone_thread_never_queues_and_whoever_queues_shares_runs(capsys):
    runpy.run_path(str(EXAMPLE))
    alone, *others = re.findall(r"^.*of 600 in time.*$", capsys.readouterr().out, re.MULTILINE)
    assert alone.endswith("0 refused, nothing queued")
    # One thread handed them in without waiting for any, so they came faster than they were answered.
    shared = re.search(r"([\d.]+) requests in each queued run", others[-1])
    assert float(shared[1]) > 1.0
