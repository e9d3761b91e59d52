import subprocess
import sys
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from torch import nn

from cascade.errors import StageOutputError
from cascade.stages.stage import Stage

REPOSITORY = Path(__file__).resolve().parents[2]


class Returns(nn.Module):
    """Returns what a function makes of the batch."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.linear = nn.Linear(1, 1)

    def forward(self, x):
        return self.function(x)


def test_a_module_answers_with_its_logits(mlp, X):
    scores, carry = Stage(mlp, device="cpu").run(X)
    with torch.inference_mode():
        np.testing.assert_array_equal(scores, mlp(torch.from_numpy(X)).numpy())
    assert carry is None


def test_the_defaults_of_a_module(mlp):
    stage = Stage(mlp, device="cpu")
    assert (stage.name, stage.scores, stage.classes, stage.device) == ("sequential", "logits", None, "cpu")


def test_a_module_may_return_probabilities(mlp, X):
    assert Stage(nn.Sequential(mlp, nn.Softmax(1)), scores="probs", device="cpu").scores == "probs"


def test_the_module_is_put_in_eval_mode(mlp):
    Stage(mlp, device="cpu")
    assert not any(part.training for part in mlp.modules())


def test_a_module_flipped_back_to_training_still_answers_right(mlp, X):
    stage = Stage(mlp, device="cpu")
    expected, _ = stage.run(X)
    mlp.train()
    np.testing.assert_array_equal(stage.run(X)[0], expected)
    assert not any(part.training for part in mlp.modules())


def test_scores_need_no_gradient_and_are_not_copied(X):
    seen = []

    def forward(x):
        seen.append(x * 2.0)
        return seen[-1]

    scores, _ = Stage(Returns(forward), device="cpu").run(X)
    assert seen[0].is_inference()
    assert seen[0].numpy().ctypes.data == scores.ctypes.data


def test_a_parameter_may_be_returned_as_it_is():
    module = nn.Sequential()
    module.register_parameter("prior", nn.Parameter(torch.tensor([[0.5, 0.5]])))
    module.forward = lambda x: module.prior
    assert Stage(module, device="cpu").run(np.zeros((1, 2), np.float32))[0].tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_scores_of_half_precision_become_single(mlp, X, dtype):
    scores, _ = Stage(mlp.to(dtype), device="cpu").run(X)
    assert scores.dtype == np.float32


def test_scores_of_double_precision_stay_double(mlp, X):
    assert Stage(mlp.double(), device="cpu").run(X)[0].dtype == np.float64


def test_transposed_scores_become_contiguous(X):
    scores, _ = Stage(Returns(lambda x: x.T.contiguous().T), device="cpu").run(X)
    assert scores.flags.c_contiguous
    np.testing.assert_array_equal(scores, X)


@pytest.mark.parametrize(
    ("output", "came"),
    [
        (lambda x: (x, x), r"got a tuple of \['Tensor', 'Tensor'\]"),
        (lambda x: {"logits": x}, r"got a dict with the keys \['logits'\]"),
        (lambda x: x.numpy(), "got a ndarray"),
        (lambda x: None, "got a NoneType"),
    ],
)
def test_an_output_that_is_no_tensor_is_refused(output, came, X):
    with pytest.raises(
        StageOutputError, match=f"stage 'net': expected the module to return a tensor of logits.*{came}"
    ):
        Stage(Returns(output), name="net", device="cpu").run(X)


def test_an_output_without_a_column_per_class_is_refused(X):
    with pytest.raises(StageOutputError, match=r"expected scores of shape \(n, c\).*got an array of shape \(30,\)"):
        Stage(Returns(lambda x: x[:, 0]), device="cpu").run(X)


def test_an_output_with_other_rows_is_refused(X):
    with pytest.raises(StageOutputError, match="one row of scores per item, 30 of them"):
        Stage(Returns(lambda x: x[1:]), device="cpu").run(X)


def test_an_output_of_another_width_than_the_classes_is_refused(mlp, X):
    with pytest.raises(StageOutputError, match="one column of scores per class, 2 of them"):
        Stage(mlp, classes=["a", "b"], device="cpu").run(X)


def test_what_the_module_raises_passes_through(mlp):
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        Stage(mlp, device="cpu").run(np.zeros((2, 5), np.float32))


def test_threads_of_a_module_are_those_of_torch(mlp):
    stage = Stage(mlp, device="cpu")
    with stage.limit_threads(3):
        assert stage.threads() == torch.get_num_threads() == 3


def test_waiting_for_the_cpu_returns_at_once(mlp):
    Stage(mlp, device="cpu").synchronise()


@pytest.mark.slow
def test_another_process_finds_the_same_fingerprint():
    source = (
        "import torch\n"
        "torch.manual_seed(0)\n"
        "net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))\n"
    )
    script = source + "from cascade.stages.stage import Stage\nprint(Stage(net, device='cpu').fingerprint)\n"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    scope = {}
    exec(source, scope)
    assert other.stdout.strip() == Stage(scope["net"], device="cpu").fingerprint


@pytest.mark.gpu
def test_a_module_on_cuda_answers_as_on_the_cpu(mlp, X):
    expected, _ = Stage(mlp, device="cpu").run(X)
    stage = Stage(mlp, device="cuda")
    assert stage.device.startswith("cuda:")
    for batch in (X, X.astype(np.float64), torch.from_numpy(X), torch.from_numpy(X).cuda()):
        np.testing.assert_allclose(stage.run(batch)[0], expected, rtol=1e-4, atol=1e-5)
    stage.synchronise()


@pytest.mark.gpu
def test_scores_from_cuda_do_not_change_with_the_next_run(mlp, X):
    stage = Stage(mlp, device="cuda")
    first, _ = stage.run(X)
    kept = first.copy()
    stage.run(X[::-1].copy())
    np.testing.assert_array_equal(first, kept)


@pytest.mark.gpu
def test_a_module_that_is_on_cuda_stays_there(mlp):
    assert Stage(mlp.to("cuda:0"), device="auto").device == "cuda:0"


@pytest.mark.gpu
def test_every_lane_runs_on_a_stream_of_its_own_and_gets_its_own_answers(mlp, X):
    expected, _ = Stage(mlp, device="cpu").run(X)
    stage, streams, answers = Stage(mlp, device="cuda"), {}, {}

    def run_on(lane):
        stage.use_lane(lane)
        for _ in range(20):
            answers[lane], _ = stage.run(X + 0.0)
        streams[lane] = stage._runner._placed._stream.cuda_stream

    threads = [Thread(target=run_on, args=(lane,)) for lane in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert streams[0] != streams[1]
    for answer in answers.values():
        np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)
