import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import cascade
from cascade import errors

ROOT = Path(cascade.__file__).resolve().parent.parent
HEAVY = {"torch", "numba", "sklearn", "scipy", "numpy", "matplotlib"}


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.strip()


def test_importing_the_package_loads_nothing_heavy():
    loaded = run_python("import sys, cascade; print(*{name.split('.')[0] for name in sys.modules})")
    assert "cascade" in loaded.split()
    assert not HEAVY & set(loaded.split())


def test_listing_the_public_names_loads_nothing_of_the_package():
    loaded = run_python(
        "import sys, cascade; dir(cascade); print(*[m for m in sys.modules if m.startswith('cascade')])"
    )
    # The registry through which a curve finds what writes its page; it imports nothing.
    assert set(loaded.split()) == {"cascade", "cascade.core", "cascade.core.page_writer"}


def test_an_error_class_resolves_without_loading_anything_heavy():
    loaded = run_python("import sys, cascade; cascade.BudgetTooSmall; print(*{m.split('.')[0] for m in sys.modules})")
    assert not HEAVY & set(loaded.split())


@pytest.mark.parametrize("name", cascade.__all__)
def test_every_public_name_resolves_to_the_object_of_that_name(name):
    assert getattr(cascade, name).__name__ == name


def test_every_error_and_warning_is_public():
    classes = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert classes <= set(cascade.__all__)


def test_what_the_type_checker_sees_is_what_loads():
    tree = ast.parse(Path(cascade.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert set(seen) == set(cascade.__all__)
    assert {name: cascade._HOMES.get(name, "cascade.errors") for name in seen} == seen


def test_all_public_names_are_listed():
    assert set(cascade.__all__) <= set(dir(cascade))
    assert cascade.__all__ == sorted(cascade.__all__)


@pytest.mark.parametrize("name", ["clock", "errors", "testing"])
def test_a_public_module_is_an_attribute_of_the_package(name):
    found = run_python(f"import cascade; print(cascade.{name}.__name__)")
    assert found == f"cascade.{name}"


def test_an_unknown_name_is_an_attribute_error_that_says_where_to_look():
    with pytest.raises(AttributeError, match="no attribute 'Predictr'; its public names are in cascade.__all__"):
        _ = cascade.Predictr


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "cascade" / "py.typed").is_file()
