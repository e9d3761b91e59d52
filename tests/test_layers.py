import re
from pathlib import Path

import pytest

from tools import check_layers, check_sizes
from tools.sources import read_package

ROOT = Path(__file__).resolve().parent.parent
SOURCES = read_package(ROOT / "cascade")

PARTS = ["stages", "calibration", "profiling", "caching", "telemetry", "scheduling"]


def breaches(text: str, *, module: str, **others: str) -> list[str]:
    """Breaches of one module's source, in a package that also holds the other (dots written as ``__``) modules."""
    rest = {f"cascade.{name.replace('__', '.')}": source for name, source in others.items()}
    return check_layers.check({f"cascade.{module}": text, **rest})


def allowed(part: str, other: str) -> bool:
    return not breaches(f"from cascade.{other}.thing import name", module=f"{part}.here")


def test_the_package_keeps_its_layers():
    assert check_layers.check(SOURCES) == []


def test_no_file_and_no_function_of_the_package_is_too_long():
    assert check_sizes.check(SOURCES) == []


@pytest.mark.parametrize("part", PARTS)
def test_siblings_never_import_each_other(part):
    assert not any(allowed(part, other) for other in PARTS if other != part)


@pytest.mark.parametrize("part", check_layers.MAY_IMPORT)
def test_a_part_may_import_itself(part):
    assert part == "__init__" or allowed(part, part)


@pytest.mark.parametrize("part", check_layers.MAY_IMPORT)
def test_nothing_imports_upwards(part):
    """Whoever may be imported by a part may not import it back."""
    below = [name for name in check_layers.MAY_IMPORT[part] if "." not in name]
    assert not any(allowed(other, part) for other in below)


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("errors", "clock"),
        ("core", "clock"),
        ("scheduling", "clock"),
        ("calibration", "clock"),
        ("simulation", "caching"),
        ("simulation", "stages"),
        ("runtime", "simulation"),
        ("runtime", "stages"),
        ("runtime", "calibration"),
        ("ladder", "runtime"),
        ("ladder", "simulation"),
        ("testing", "runtime"),
        ("testing", "explore"),
        ("predictor", "ladder"),
        ("predictor", "explore"),
        ("predictor", "integrations"),
        ("integrations", "cli"),
    ],
)
def test_an_arrow_that_is_not_in_the_table_is_a_breach(part, other):
    assert not allowed(part, other)


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("clock", "errors"),
        ("core", "errors"),
        ("stages", "clock"),
        ("profiling", "core"),
        ("simulation", "scheduling"),
        ("runtime", "telemetry"),
        ("testing", "stages"),
        ("explore", "simulation"),
        ("predictor", "runtime"),
        ("predictor", "testing"),
        ("cli", "integrations"),
        ("cli", "predictor"),
    ],
)
def test_an_arrow_of_the_table_is_allowed(part, other):
    assert allowed(part, other)


def test_the_runtime_sees_the_base_of_stages_only():
    assert breaches("from cascade.stages.base import Lane", module="runtime.lanes") == []
    assert breaches("from cascade.stages import base", module="runtime.lanes", stages__base="") == []
    (breach,) = breaches("from cascade.stages.stage import Stage", module="runtime.lanes")
    assert breach == (
        "cascade.runtime.lanes:1: runtime must not import stages, except stages.base (here cascade.stages.stage)"
    )


@pytest.mark.parametrize(
    "text",
    [
        "import cascade.clock as clock",
        "from cascade.clock import Clock",
        "def f():\n    from cascade.clock import Clock",
        "class C:\n    def f(self):\n        from cascade.clock import Clock",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from cascade.clock import Clock",
        "try:\n    from cascade.clock import Clock\nexcept ImportError:\n    pass",
        "import importlib\nclock = importlib.import_module('cascade.clock')",
        "from importlib import import_module\nclock = import_module('cascade.clock')",
        "clock = __import__('cascade.clock')",
    ],
    ids=["as", "from", "function", "method", "typing", "try", "importlib", "import_module", "__import__"],
)
def test_an_import_is_found_wherever_it_hides(text):
    (breach,) = breaches(text, module="core.policy")
    assert "core must not import clock (here cascade.clock)" in breach


@pytest.mark.parametrize(
    "text", ["from . import records", "from .records import Status", "from ..errors import DataError"]
)
def test_a_relative_import_is_a_breach(text):
    (breach,) = breaches(text, module="core.policy")
    assert "relative import" in breach


@pytest.mark.parametrize(
    "text",
    [
        "import cascade",
        "import cascade as c",
        "import cascade.errors",
        "from cascade import Stage",
        "from cascade import errors",
    ],
)
def test_nobody_inside_imports_the_public_face(text):
    (breach,) = breaches(text, module="cli.main", errors="")
    assert "public face" in breach


@pytest.mark.parametrize(("library", "homes"), [("torch", 3), ("sklearn", 5)])
def test_a_heavy_library_stays_in_its_homes(library, homes):
    text = f"def f():\n    import {library}.anything"
    admitted = [part for part in check_layers.MAY_IMPORT if not breaches(text, module=f"{part}.here")]
    assert set(admitted) == check_layers.HOMES_OF[library]
    assert len(admitted) == homes


def test_the_public_face_loads_no_heavy_library_itself():
    (breach,) = check_layers.check({"cascade": "import torch"})
    assert "__init__ must not import torch, only cli, ladder, stages may" in breach


def test_other_libraries_are_nobodys_business():
    assert breaches("import numpy as np\nfrom torchlike import nn\nimport cascades", module="core.policy") == []


def test_a_part_that_the_table_does_not_know_is_a_breach():
    (breach,) = breaches("import json", module="utils")
    assert "'utils' is no part of the package that the table of layers knows" in breach


def test_a_module_that_imports_an_unknown_part_is_a_breach():
    (breach,) = breaches("from cascade.utils import chunked", module="core.policy")
    assert "core must not import utils" in breach


def test_a_cycle_between_modules_is_a_breach_even_if_one_arrow_is_lazy():
    (breach,) = breaches(
        "from cascade.core.replay import Replay",
        module="core.policy",
        core__replay="def f():\n    from cascade.core.policy import Policy",
    )
    assert breach.startswith("import cycle: ")
    assert breach.count("cascade.core.") == 3


def test_the_line_of_a_breach_is_named():
    (breach,) = breaches("import json\n\nfrom cascade.clock import Clock", module="core.policy")
    assert breach.startswith("cascade.core.policy:3: ")


ROW = re.compile(r"^\| (`[^|]*`) \| ([^|]*) \|$", re.MULTILINE)


def table_of_layers():
    """What each part may import, as the page about the architecture says; "all of the above" is spelled out."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = page.split("## Who may import whom")[1].split("\n## ")[0]
    allowed = {}
    for parts, imports in ROW.findall(section):
        named = set(re.findall(r"`([^`]+)`", imports))
        meant = set(allowed) - named if imports.startswith(("all", "everything")) else named
        allowed |= dict.fromkeys(re.findall(r"`([^`]+)`", parts), meant)
    return allowed


def test_the_page_about_the_architecture_says_what_the_check_checks():
    there = {check_layers.part_of(module) for module in SOURCES}
    checked = {
        part: {other for other in check_layers.MAY_IMPORT[part] if other.split(".")[0] in there} for part in there
    }
    said = table_of_layers()
    # The public face may import everything but the way in from the shell, which nobody imports.
    assert said.pop("__init__") - {"__main__"} == checked.pop("__init__")
    assert said == checked


def function(n_lines: int, *, doc: str = "") -> str:
    return "def f():\n" + doc + "    x = 1\n" * (n_lines - 1)


def test_a_function_of_fifty_lines_passes_and_one_more_does_not():
    assert check_sizes.check({"cascade.core.a": function(50)}) == []
    (breach,) = check_sizes.check({"cascade.core.a": function(51)})
    assert breach == "cascade.core.a:1: f has 51 lines, more than 50: split it"


def test_the_docstring_of_a_function_is_not_counted():
    doc = '    """One.\n\n    Two.\n    """\n'
    assert check_sizes.check({"cascade.core.a": function(50, doc=doc)}) == []
    assert len(check_sizes.check({"cascade.core.a": function(51, doc=doc)})) == 1


def test_asynchronous_functions_and_methods_are_counted_too():
    body = "        x = 1\n" * 50
    source = f"class C:\n    async def f(self):\n{body}"
    assert len(check_sizes.check({"cascade.core.a": source})) == 1


def test_a_file_of_three_hundred_lines_passes_and_one_more_does_not():
    assert check_sizes.check({"cascade.core.a": "x = 1\n" * 300}) == []
    (breach,) = check_sizes.check({"cascade.core.a": "x = 1\n" * 301})
    assert breach == "cascade.core.a: 301 lines, more than 300: split it by subject"


def test_modules_are_named_after_their_place_in_the_package():
    assert {"cascade", "cascade.core", "cascade.core.records"} <= set(SOURCES)
