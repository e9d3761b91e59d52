"""The ladders the scripts measure on: recorded outcomes of several models, and what each model costs.

The files are described in the README beside the data. Without them there are scikit-learn's digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cascade.core.outcomes import Outcomes

CIFAR_FEATURES_MS = 0.12
"""Time for the features of one image, in NumPy on one core: 0.19 alone and 0.12 in batches of 32. The smaller one is charged, though the
models' times are those of single images; the classifier on the features, 225 numbers, takes next to nothing."""

FRUGAL = {
    "rafdb": "FrugalML RAF-DB",
    "digit": "FrugalML DIGIT",
    "audiomnist": "FrugalML AudioMNIST",
    "yelp": "FrugalML Yelp",
}


@dataclass(frozen=True, slots=True)
class Ladder:
    """Recorded outcomes of K models on n labelled items, with the cost of each model in some unit.

    ``images`` are the inputs, first axis n; None where only what the models said was published. ``features_cost`` is what it costs,
    in the same unit, to read the features of one of them and to decide by them.
    """

    name: str
    outcomes: Outcomes
    costs: np.ndarray
    unit: str
    images: np.ndarray | None = None
    features_cost: float = 0.0


def ladders(data: Path | None) -> Iterator[Ladder]:
    """Every ladder there is data for."""
    if data is not None:
        yield cifar10(data)
        for file, name in FRUGAL.items():
            yield frugal(data, file, name)
        yield netcal(data)
    yield digits()


def cifar10(data: Path) -> Ladder:
    """ResNet-20, -32, -44 and -56 on the JPEG copy of CIFAR-10; the costs are the stated batch-1 times on one core."""
    names = [f"resnet{depth}" for depth in (20, 32, 44, 56)]
    with np.load(data / "cifar10_jpeg" / "test_logits.npz", allow_pickle=False) as file:
        logits = np.stack([file[name] for name in names], axis=1).astype(np.float64)
    with np.load(data / "cifar10_jpeg" / "test.npz", allow_pickle=False) as file:
        images, labels = file["images"], file["labels"]
    probs = np.exp(logits - logits.max(axis=2, keepdims=True))
    probs /= probs.sum(axis=2, keepdims=True)
    outcomes = Outcomes.from_probs(probs, labels, stages=names)
    costs = np.array([2.6, 4.2, 5.9, 7.5])
    return Ladder("CIFAR-10 JPEG", outcomes, costs, "ms at batch 1, as stated with the data", images, CIFAR_FEATURES_MS)


def frugal(data: Path, file_name: str, name: str) -> Ladder:
    """Answers of commercial services: a label and a confidence each, and a price list."""
    with np.load(data / "frugalml" / f"{file_name}.npz", allow_pickle=False) as file:
        outcomes = Outcomes.from_predictions(
            file["pred"].T,
            np.clip(file["confidence"].T, 0.0, 1.0),
            file["labels"],
            stages=file["model_names"].tolist(),
        )
        return Ladder(name, outcomes, file["cost_per_10k_usd"].astype(np.float64), "$ per 10,000 calls")


def netcal(data: Path) -> Ladder:
    """LeNet-5 and a wide residual network on CIFAR-10: a wide gap. No times were published, so the costs are chosen."""
    names = ["lenet_5", "wideresnet_16_4"]
    with np.load(data / "netcal_cifar10" / "probs.npz", allow_pickle=False) as file:
        probs = np.stack([file[f"probs_{name}"] for name in names], axis=1)
        outcomes = Outcomes.from_probs(probs, file["labels"], stages=names)
    return Ladder("netcal CIFAR-10", outcomes, np.array([1.0, 10.0]), "chosen, not measured")


def digits() -> Ladder:
    """Four scikit-learn models on the two thirds of the digits that they were not trained on; the costs are chosen."""
    from sklearn.datasets import load_digits
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    images, labels = load_digits(return_X_y=True)
    images = images / 16.0
    mean_2x2 = images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16)
    train, rest = train_test_split(np.arange(len(labels)), train_size=1 / 3, random_state=0, stratify=labels)
    models = {
        "logistic on 4x4": (LogisticRegression(max_iter=1000), mean_2x2),
        "logistic on 8x8": (LogisticRegression(max_iter=1000), images),
        "perceptron": (MLPClassifier((64,), max_iter=1000, random_state=0), images),
        "500 trees": (ExtraTreesClassifier(500, random_state=0), images),
    }
    said = [model.fit(x[train], labels[train]).predict_proba(x[rest]) for model, x in models.values()]
    outcomes = Outcomes.from_probs(np.stack(said, axis=1), labels[rest], stages=list(models))
    costs = np.array([1.0, 2.0, 5.0, 50.0])
    # A classifier that chooses among the models is linear on all 64 pixels: at least as dear as the model that is linear on 16.
    return Ladder("digits", outcomes, costs, "chosen, not measured", images[rest].reshape(-1, 8, 8), float(costs[0]))
