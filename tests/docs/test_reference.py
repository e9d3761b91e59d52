"""The reference names everything that users may import."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

import cascade

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference.md").read_text(encoding="utf-8")
DESCRIBED = set(re.findall(r"^::: ([\w.]+)$", PAGE, re.MULTILINE))
# Modules that are public as a whole: each is described, or everything that it exports is.
MODULES = ["cascade.clock", "cascade.errors", "cascade.explore", "cascade.testing"]


def home_of(name):
    return f"{getattr(cascade, name).__module__}.{name}"


@pytest.mark.parametrize("name", cascade.__all__)
def test_every_public_name_is_described(name):
    home = home_of(name)
    assert home in DESCRIBED or home.rpartition(".")[0] in DESCRIBED, f"add '::: {home}' to docs/reference.md"


@pytest.mark.parametrize("module", MODULES)
def test_every_public_module_is_described(module):
    exported = getattr(import_module(module), "__all__", ())
    homes = {f"{getattr(import_module(module), name).__module__}.{name}" for name in exported}
    missing = homes - DESCRIBED if homes else {module}
    assert module in DESCRIBED or not missing, f"add {sorted(missing)} to docs/reference.md"


@pytest.mark.parametrize("described", sorted(DESCRIBED))
def test_what_is_described_is_there(described):
    module, _, name = described.rpartition(".")
    try:
        import_module(described)
    except ModuleNotFoundError:
        assert hasattr(import_module(module), name)
