"""Recorded outcomes and a reader of HTML that several tests share."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

from cascade.core.outcomes import Outcomes


def _ladder(n=900, k=3, c=4, seed=0, stages=None):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, c, n)
    hardness = rng.normal(size=(n, 1))
    logits = rng.normal(size=(n, k, c))
    logits[np.arange(n), :, labels] += np.linspace(1.5, 3.5, k) + hardness
    probs = np.exp(logits)
    return Outcomes.from_probs(probs / probs.sum(axis=2, keepdims=True), labels, stages=stages)


def _votes(n=600, k=2, names=("cat", "dog", "eel"), seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(names), n)
    skill = np.linspace(0.6, 0.9, k)
    said = np.where(rng.random((n, k)) < skill, truth[:, None], rng.integers(0, len(names), (n, k)))
    trust = np.clip(rng.uniform(0.3, 1.0, (n, k)) - 0.2 * (said != truth[:, None]), 0.0, 1.0)
    labels = np.array(names)
    return Outcomes.from_predictions(labels[said], trust, labels[truth])


class _Reader(HTMLParser):
    """The words of a page, and the tags that were opened and not closed."""

    def __init__(self):
        super().__init__()
        self.words, self.open = [], []

    def handle_starttag(self, tag, attrs):
        assert "style" not in dict(attrs)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def _words_of(page):
    reader = _Reader()
    reader.feed(page)
    assert not reader.open
    return reader.words


@pytest.fixture(scope="session")
def ladder():
    """Makes outcomes of K stages that get more accurate and share the hardness of the items."""
    return _ladder


@pytest.fixture(scope="session")
def votes():
    """Makes outcomes of K stages that say a label and a confidence."""
    return _votes


@pytest.fixture(scope="session")
def html_words():
    """The words of a piece of HTML, which must close what it opens and bring no styles."""
    return _words_of
