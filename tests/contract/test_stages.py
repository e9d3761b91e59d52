"""Every kind of stage passes the same contract."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from torch import nn

from cascade.core.records import StageLike, StageOutput
from cascade.stages.base import RunnableStage
from cascade.stages.multi_exit import multi_exit
from cascade.stages.stage import Stage
from cascade.testing.contract import check_stage
from cascade.testing.fakes import FakeExit, FakeStage

X = np.random.default_rng(0).normal(size=(12, 1, 4, 4)).astype(np.float32)
FLAT = X.reshape(12, 16)
Y = np.arange(12) % 3


def seeded(make):
    torch.manual_seed(0)
    return make()


def mlp():
    return nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))


def conv():
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    return nn.Sequential(*layers)


class CutNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.segments = nn.ModuleList([nn.Conv2d(1, 4, 3, padding=1), nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 3))])
        self.exits = nn.ModuleList([nn.Sequential(nn.Flatten(), nn.Linear(n, 3)) for n in (64, 16)])


class YieldingNet(nn.Module):
    n_exits = 2

    def __init__(self):
        super().__init__()
        self.cut = CutNet()
        self.blocks, self.heads = self.cut.segments, self.cut.exits

    def forward_exits(self, x):
        for block, head in zip(self.blocks, self.heads, strict=True):
            x = block(x)
            keep = yield head(x)
            x = x if keep is None else x[keep]


def scores_of(batch):
    return np.stack([batch.sum(axis=1), batch.mean(axis=1), batch[:, 0]], axis=1)


def answers_to(texts):
    return StageOutput([text.upper() for text in texts], [1.0 / len(text) for text in texts])


def probs_of(batch):
    scores = np.exp(scores_of(batch))
    return scores / scores.sum(axis=1, keepdims=True)


STAGES = {
    "logistic regression": (lambda: Stage(LogisticRegression().fit(FLAT, Y)), FLAT),
    "linear SVC": (lambda: Stage(LinearSVC().fit(FLAT, Y)), FLAT),
    "binary SVC": (lambda: Stage(SVC().fit(FLAT, Y > 0)), FLAT),
    "pipeline": (lambda: Stage(make_pipeline(StandardScaler(), LogisticRegression()).fit(FLAT, Y)), FLAT),
    "pipeline on words": (lambda: Stage(LogisticRegression().fit(FLAT, np.array(["a", "b", "c"])[Y])), FLAT),
    "perceptron": (lambda: Stage(seeded(mlp), device="cpu"), FLAT),
    "perceptron on doubles": (lambda: Stage(seeded(mlp), device="cpu"), FLAT.astype(np.float64)),
    "perceptron on a tensor": (lambda: Stage(seeded(mlp), device="cpu"), torch.from_numpy(FLAT)),
    "perceptron on a list": (lambda: Stage(seeded(mlp), device="cpu"), list(FLAT)),
    "convolution": (lambda: Stage(seeded(conv), device="cpu"), X),
    "preprocessed": (lambda: Stage(seeded(mlp), device="cpu", preprocess=lambda batch: batch.reshape(-1, 16)), X),
    "callable": (lambda: Stage(scores_of), FLAT),
    "callable with probabilities": (lambda: Stage(probs_of, scores="probs", classes="abc"), FLAT),
    "callable with answers": (lambda: Stage(answers_to), ["yes", "no", "perhaps"]),
    "fake": (lambda: FakeStage("fake", np.eye(12)), np.arange(12)),
    "fake exit": (lambda: FakeExit("fake", np.eye(12), requires=None), np.arange(12)),
}

EXITS = {
    "segments": (lambda: multi_exit(seeded(CutNet), device="cpu"), X),
    "generator": (lambda: multi_exit(seeded(YieldingNet), device="cpu"), X),
    "fakes": (
        lambda: [FakeExit("a", np.eye(12), requires=None), FakeExit("b", np.eye(12), requires="a")],
        np.arange(12),
    ),
}


@pytest.mark.parametrize("kind", STAGES)
def test_every_kind_of_stage_keeps_the_contract(kind):
    make, batch = STAGES[kind]
    check_stage(make(), batch)


@pytest.mark.parametrize("kind", EXITS)
def test_every_kind_of_exit_keeps_the_contract(kind):
    make, batch = EXITS[kind]
    first, second = make()
    check_stage(first, batch)
    check_stage(second, batch, predecessor=first)


@pytest.mark.gpu
@pytest.mark.parametrize("make", [mlp, conv])
def test_modules_on_cuda_keep_the_contract(make):
    # cuDNN convolves in TF32 by default: ten bits of mantissa.
    check_stage(Stage(seeded(make), device="cuda"), FLAT if make is mlp else X, n_classes=3, rtol=1e-2)


@pytest.mark.gpu
@pytest.mark.parametrize("make", [CutNet, YieldingNet])
def test_exits_on_cuda_keep_the_contract(make):
    first, second = multi_exit(seeded(make), device="cuda")
    check_stage(second, X, predecessor=first, rtol=1e-2)


def test_the_stages_are_what_the_rest_of_the_package_expects():
    stage: StageLike = Stage(scores_of)
    runnable: RunnableStage = Stage(scores_of)
    fake: RunnableStage = FakeStage("fake", np.eye(2))
    assert {stage.requires, runnable.requires, fake.requires} == {None}
