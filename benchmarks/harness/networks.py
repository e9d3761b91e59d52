"""Networks the scripts run: the residual networks of the data folder, and two perceptrons for scikit-learn's digits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGE_MEAN, IMAGE_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
N_STEPS = 150


class Block(nn.Module):
    """Two convolutions beside a shortcut without parameters (He et al., 2016, option A)."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.stride, self.n_padded = stride, n_out // 4 if n_in != n_out else 0

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.n_padded:
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.n_padded, self.n_padded))
        return functional.relu(y + x)


class ResNet(nn.Module):
    """A residual network for images of 32 x 32: three groups of blocks, ``6 * n + 2`` layers."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        n_blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = group(16, 16, n_blocks, 1)
        self.layer2 = group(16, 32, n_blocks, 2)
        self.layer3 = group(32, 64, n_blocks, 2)
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean(dim=(2, 3)))


def group(n_in: int, n_out: int, n_blocks: int, stride: int) -> nn.Sequential:
    """Blocks of one width, the first of which changes it."""
    return nn.Sequential(Block(n_in, n_out, stride), *(Block(n_out, n_out, 1) for _ in range(n_blocks - 1)))


def resnet(data: Path, depth: int) -> ResNet:
    """The trained network of this depth."""
    net = ResNet(depth)
    with np.load(data / "cifar10_resnets" / f"resnet{depth}.npz", allow_pickle=False) as file:
        # Saved without the counters of batches, which only training needs.
        left_out = net.load_state_dict({name: torch.from_numpy(file[name]) for name in file.files}, strict=False)
    assert not left_out.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in left_out.missing_keys)
    return net.eval()


def cifar_images(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """The 10,000 test images as the networks take them, shape (n, 3, 32, 32) float32, and their labels."""
    with np.load(data / "cifar10_jpeg" / "test.npz", allow_pickle=False) as file:
        images, labels = file["images"], file["labels"]
    scaled = (images.astype(np.float32) / 255.0 - np.float32(IMAGE_MEAN)) / np.float32(IMAGE_STD)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)), labels


@dataclass(frozen=True, slots=True)
class DigitLadder:
    """A small and a large perceptron, rows to fit a cascade on and rows to serve; neither has seen them."""

    small: nn.Module
    large: nn.Module
    fit_rows: tuple[np.ndarray, np.ndarray]
    served_rows: tuple[np.ndarray, np.ndarray]


def digit_ladder() -> DigitLadder:
    """Perceptrons with 16 and with three times 512 hidden units, trained on a third of the digits.

    With 8 in the small one a fitted policy begins with the large one, with 32 it never needs it."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images = (images / 16.0).astype(np.float32)
    train, rest = train_test_split(np.arange(len(labels)), train_size=1 / 3, random_state=0, stratify=labels)
    fit, served = train_test_split(rest, train_size=1 / 2, random_state=0, stratify=labels[rest])
    small = trained(perceptron((16,)), images[train], labels[train], 0.01)
    large = trained(perceptron((512, 512, 512)), images[train], labels[train], 0.001)
    return DigitLadder(small, large, (images[fit], labels[fit]), (images[served], labels[served]))


def perceptron(widths: Sequence[int]) -> nn.Sequential:
    """From 64 pixels over hidden layers of these widths to ten logits."""
    torch.manual_seed(0)
    sizes = (64, *widths)
    hidden = [layer for i, j in pairwise(sizes) for layer in (nn.Linear(i, j), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(sizes[-1], 10))


def trained(net: nn.Module, images: np.ndarray, labels: np.ndarray, rate: float) -> nn.Module:
    """The network after full-batch steps of Adam."""
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    optimiser = torch.optim.Adam(net.parameters(), lr=rate)
    for _ in range(N_STEPS):
        optimiser.zero_grad()
        functional.cross_entropy(net(x), y).backward()
        optimiser.step()
    return net.eval()
