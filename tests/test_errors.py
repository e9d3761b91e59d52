"""The tree of errors and warnings: complete, as drawn, and caught by the built-in a caller would expect."""

import inspect
import re

import pytest

from cascade import errors
from cascade.errors import CascadeError, CascadeWarning

CLASSES = [each for _, each in inspect.getmembers(errors, inspect.isclass) if each.__module__ == errors.__name__]
DRAWN = re.compile(r"^(?P<lead>[ │├└─]*)(?P<name>Cascade\w+|(?<=── )\w+)(?: \((?P<builtin>\w+)\))?(?:  .*)?$")


def drawn_tree():
    """(name, parent, built-in) for each line of the tree in the docstring."""
    above = {}
    for line in inspect.cleandoc(errors.__doc__).splitlines():
        if found := DRAWN.match(line.removeprefix("    ")):
            depth = len(found["lead"]) // 4
            above[depth] = found["name"]
            yield found["name"], above.get(depth - 1), found["builtin"]


def defined_tree():
    for each in CLASSES:
        ours = [base.__name__ for base in each.__bases__ if base in CLASSES]
        builtins = [base.__name__ for base in each.__bases__ if base not in CLASSES and base is not Exception]
        yield each.__name__, ours[0] if ours else None, builtins[0] if builtins else None


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes():
    assert len(CLASSES) > 2
    assert sorted(drawn_tree(), key=str) == sorted(defined_tree(), key=str)


@pytest.mark.parametrize("each", CLASSES, ids=lambda each: each.__name__)
def test_everything_is_a_cascade_error_or_a_cascade_warning(each):
    assert issubclass(each, CascadeError) != issubclass(each, CascadeWarning)


@pytest.mark.parametrize("each", CLASSES, ids=lambda each: each.__name__)
def test_every_class_says_what_it_means(each):
    assert each.__doc__
    assert each.__doc__.endswith(".")


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("ConfigurationError", ValueError),
        ("PolicyMismatch", ValueError),
        ("CorruptPolicy", ValueError),
        ("MissingExtra", ImportError),
        ("DataError", ValueError),
        ("InputMismatch", ValueError),
        ("NotFinite", ValueError),
        ("EmptyBatch", ValueError),
        ("LabelMismatch", ValueError),
        ("BudgetTooSmall", TimeoutError),
        ("StageError", RuntimeError),
        ("StageOutputError", RuntimeError),
        ("SmallSampleWarning", UserWarning),
        ("ForeignServiceWarning", UserWarning),
    ],
)
def test_the_built_in_a_caller_would_catch_catches(name, builtin):
    assert issubclass(getattr(errors, name), builtin)
