"""What every test runs under: one thread per library, laws that repeat themselves, and markers that skip."""

import os

# Before any numerical library loads: two-threaded linear algebra on busy cores is slower by orders of magnitude.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, and no verdict that depends on how busy the machine is.
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")

REPOSITORY = Path(__file__).resolve().parent.parent


def find_shared_data() -> Path | None:
    """The folder of the benchmark data: ``CASCADE_SHARED_DATA``, else ``shared/data`` in or beside the repository."""
    named = os.environ.get("CASCADE_SHARED_DATA")
    places = [Path(named)] if named else [REPOSITORY / "shared" / "data", REPOSITORY.parent / "shared" / "data"]
    return next((place for place in places if place.is_dir()), None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the benchmark data; the test that asks for it carries the marker ``shared_data``."""
    folder = find_shared_data()
    if folder is None:
        pytest.skip("the benchmark data is not here: set CASCADE_SHARED_DATA to its folder")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests whose marker names something that this machine lacks."""
    needs_data = [item for item in items if item.get_closest_marker("shared_data")]
    if needs_data and find_shared_data() is None:
        skip = pytest.mark.skip(reason="the benchmark data is not here: set CASCADE_SHARED_DATA to its folder")
        for item in needs_data:
            item.add_marker(skip)
    needs_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if needs_gpu and not _has_cuda():
        for item in needs_gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def _has_cuda() -> bool:
    # Only where a test asks for it: loading torch takes seconds.
    import torch

    return torch.cuda.is_available()
