"""Four real models for 8×8 images of digits, each slower and more accurate than the one before.

The only module of the command line that trains anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from tqdm import tqdm

from cascade.cli.digits import Digits, Labelled
from cascade.cli.text import Phases
from cascade.core.service import ServiceTable
from cascade.profiling.profile import profile
from cascade.stages.stage import Stage

N_CLASSES = 10
_BATCH_SIZE = 64
_WIDTH = 32
_HIDDEN = 512
# Augmentation: the largest turn in radians, change of scale, and shift as a share of half the image.
_TURN, _ZOOM, _SHIFT = 0.17, 0.1, 0.18


@dataclass(frozen=True, slots=True)
class Effort:
    """How much the networks are trained; the defaults take about half a minute on one thread."""

    mlp_epochs: int = 30
    n_networks: int = 8
    network_epochs: int = 24

    @property
    def n_epochs(self) -> int:
        """Epochs of all networks together."""
        return self.mlp_epochs + self.n_networks * self.network_epochs


class Thumbnail:
    """Logistic regression on the 4×4 average, served as what it is: one matrix product.

    Parameters
    ----------
    model : LogisticRegression
        Fitted on `average_pooled` images.
    """

    def __init__(self, model: LogisticRegression) -> None:
        self._weights = np.ascontiguousarray(model.coef_.T, np.float32)
        self._bias = model.intercept_.astype(np.float32)

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (n, 10) of images (n, 8, 8)."""
        logits: NDArray[np.float32] = average_pooled(images) @ self._weights + self._bias
        return logits


class Ensemble(nn.Module):
    """Networks that answer together: the mean of their logits.

    Parameters
    ----------
    networks : sequence of nn.Module
        Each from images (n, 1, 8, 8) to logits (n, 10).
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, 10) of images (n, 8, 8)."""
        batch = images.unsqueeze(1)
        return torch.stack([network(batch) for network in self.networks]).mean(dim=0)


def average_pooled(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images (n, 8, 8) as the 16 means of their 2×2 squares, shape (n, 16)."""
    n = len(images)
    means: NDArray[np.float32] = images.reshape(n, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(n, 16)
    return means


def flattened(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images (n, 8, 8) as their 64 pixels, shape (n, 64)."""
    return images.reshape(len(images), 64)


def measured_ladder(
    data: Digits, phases: Phases, *, seed: int, effort: Effort | None, cell_ms: float
) -> tuple[list[Stage], ServiceTable]:
    """The models, trained, and what they take for one image here; each a phase.

    Parameters
    ----------
    data : Digits
    phases : Phases
    seed : int
    effort : Effort or None
    cell_ms : float
        Milliseconds spent on measuring each model.
    """
    with phases.timed("training"):
        stages = train_ladder(data.train, seed=seed, effort=effort)
    with phases.timed("measuring"):
        service = profile(stages, data.calibration.images, max_batch=1, cell_ms=cell_ms)
    return stages, service


def train_ladder(data: Labelled, *, seed: int, effort: Effort | None = None, progress: bool = True) -> list[Stage]:
    """Train the four models and wrap them as stages on the CPU, the fastest first.

    Parameters
    ----------
    data : Labelled
        Images to train on; every digit must occur.
    seed : int
        Of the weights, the order of the images and the augmentation.
    effort : Effort, optional
    progress : bool
        Show a bar on stderr, if that is a terminal.

    Returns
    -------
    list of Stage
        ``thumbnail``, a callable; ``linear``, of scikit-learn; ``mlp`` and ``ensemble``, torch modules.
    """
    effort = effort or Effort()
    thumbnail = LogisticRegression(C=10.0, max_iter=2000).fit(average_pooled(data.images), data.labels)
    linear = LogisticRegression(max_iter=2000).fit(flattened(data.images), data.labels)
    # A progress bar only where it can be redrawn: elsewhere it would fill a log.
    with tqdm(total=effort.n_epochs, desc="training", unit="epoch", leave=False, disable=not progress or None) as bar:
        mlp = _trained(_mlp, data, seed=seed, epochs=effort.mlp_epochs, max_rate=2e-3, after_epoch=bar.update)
        networks = [
            _trained(
                _convolutional,
                data,
                seed=seed + 1 + member,
                epochs=effort.network_epochs,
                max_rate=5e-3,
                after_epoch=bar.update,
            )
            for member in range(effort.n_networks)
        ]
    return [
        Stage(Thumbnail(thumbnail), name="thumbnail", scores="logits"),
        Stage(linear, name="linear", scores="logits", preprocess=flattened),
        Stage(mlp, name="mlp", device="cpu"),
        Stage(Ensemble(networks), name="ensemble", device="cpu"),
    ]


def _mlp() -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    for n_inputs in (64, _HIDDEN, _HIDDEN):
        layers += [nn.Linear(n_inputs, _HIDDEN), nn.ReLU(), nn.Dropout(0.3)]
    return nn.Sequential(*layers, nn.Linear(_HIDDEN, N_CLASSES))


def _convolutional() -> nn.Module:
    layers: list[nn.Module] = []
    for n_inputs, n_outputs in ((1, _WIDTH), (_WIDTH, 2 * _WIDTH)):
        for n_channels in (n_inputs, n_outputs):
            layers += [nn.Conv2d(n_channels, n_outputs, 3, padding=1), nn.BatchNorm2d(n_outputs), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(8 * _WIDTH, N_CLASSES))


def _trained(
    make: Callable[[], nn.Module],
    data: Labelled,
    *,
    seed: int,
    epochs: int,
    max_rate: float,
    after_epoch: Callable[[], object],
) -> nn.Module:
    """A network trained on augmented images, ready to answer."""
    images, labels = torch.from_numpy(data.images).unsqueeze(1), torch.from_numpy(data.labels)
    steps_per_epoch = -(-len(labels) // _BATCH_SIZE)
    with _seeded(seed):
        network = make()
        optimiser = torch.optim.AdamW(network.parameters(), lr=max_rate, weight_decay=5e-3)
        rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_rate, total_steps=epochs * steps_per_epoch)
        for _ in range(epochs):
            order = torch.randperm(len(labels))
            for start in range(0, len(labels), _BATCH_SIZE):
                rows = order[start : start + _BATCH_SIZE]
                loss = nn.functional.cross_entropy(network(_jittered(images[rows])), labels[rows], label_smoothing=0.05)
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                optimiser.step()
                rates.step()
            after_epoch()
    return network.eval()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers drawn from the seed, the caller's left as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _jittered(images: Tensor) -> Tensor:
    """Images (n, 1, 8, 8), each a little turned, scaled and shifted."""
    n = len(images)
    turn, zoom = _TURN * _signed(n), 1.0 + _ZOOM * _signed(n)
    cosine, sine = turn.cos() * zoom, turn.sin() * zoom
    shift = _SHIFT * _signed(2, n)
    moves = torch.stack([cosine, -sine, shift[0], sine, cosine, shift[1]], dim=1).reshape(n, 2, 3)
    grid = nn.functional.affine_grid(moves, list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, align_corners=False)


def _signed(*shape: int) -> Tensor:
    """Uniform in [-1, 1)."""
    return 2.0 * torch.rand(*shape) - 1.0
