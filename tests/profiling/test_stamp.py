"""Where a profile was made, and how a difference is put into words."""

import os
import platform
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from cascade.profiling.stamp import current_stamp, stamp_mismatch


def a_stage(name, device="cpu", n_threads=2):
    return SimpleNamespace(name=name, device=device, threads=lambda: n_threads, limit_threads=lambda n: nullcontext())


def here(**device_by_name):
    return current_stamp([a_stage(name, device) for name, device in device_by_name.items()], "leave")


def test_the_stamp_names_machine_versions_devices_and_threads():
    stamp = here(small="cpu", big="cuda:1")
    assert stamp["machine"] == platform.machine()
    assert stamp["processor"]
    assert stamp["n_cpus"] >= 1
    assert stamp["numpy"] == np.__version__
    assert (stamp["device:small"], stamp["device:big"], stamp["threads:big"]) == ("cpu", "cuda:1", 2)


def test_the_stamp_does_not_give_the_name_of_the_host_away():
    assert platform.node() not in here(small="cpu").values()


def test_a_stamp_agrees_with_itself():
    assert stamp_mismatch(here(small="cpu"), here(small="cpu")) == []


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("machine", "the machine type was other, here it is "),
        ("processor", "the processor was other, here it is "),
        ("n_cpus", "the number of usable CPUs was other, here it is "),
        ("numpy", f"the version of numpy was other, here it is {np.__version__}"),
        ("python", f"the version of python was other, here it is {platform.python_version()}"),
        ("device:small", "the device of stage 'small' was other, here it is cpu"),
        ("threads:small", "the number of threads of stage 'small' was other, here it is 2"),
    ],
)
def test_each_difference_that_matters_is_put_into_words(key, words):
    (found,) = stamp_mismatch({**here(small="cpu"), key: "other"}, here(small="cpu"))
    assert found.startswith(words)


@pytest.mark.parametrize("key", ["node", "created", "n_repeats_min", "n_repeats_max", "n_gc_collections", "heat_ms"])
def test_what_has_no_bearing_on_time_is_ignored(key):
    assert stamp_mismatch({**here(small="cpu"), key: "other"}, here(small="cpu")) == []


def test_a_package_that_was_missing_is_a_difference():
    stamp = here(small="cpu")
    del stamp["numpy"]
    assert stamp_mismatch(stamp, here(small="cpu")) == [f"the version of numpy was none, here it is {np.__version__}"]
    assert stamp_mismatch(here(small="cpu"), stamp) == [f"the version of numpy was {np.__version__}, here it is none"]


def test_a_name_with_a_colon_is_kept_whole():
    stamp = current_stamp([a_stage("net:exit 1")], "leave")
    assert stamp_mismatch({**stamp, "device:net:exit 1": "cuda"}, stamp) == [
        "the device of stage 'net:exit 1' was cuda, here it is cpu"
    ]


def test_without_the_processor_file_of_linux_the_stamp_still_names_a_processor(monkeypatch):
    def no_file(*_args, **_options):
        raise FileNotFoundError

    monkeypatch.setattr("pathlib.Path.read_text", no_file)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    stamp = here(small="cpu")
    assert stamp["processor"] == (platform.processor() or platform.machine())
    assert stamp["n_cpus"] == os.cpu_count()
