import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from cascade.cli.digits import split_digits
from cascade.cli.ladder_of_digits import Effort, Ensemble, Thumbnail, average_pooled, flattened, train_ladder
from cascade.testing.contract import check_stage

LITTLE = Effort(mlp_epochs=4, n_networks=2, network_epochs=2)


@pytest.fixture(scope="module")
def ladder():
    return train_ladder(split_digits(0).train, seed=0, effort=LITTLE, progress=False)


def test_pooling_averages_squares_of_four_pixels():
    images = np.arange(128, dtype=np.float32).reshape(2, 8, 8)
    by_hand = [[image[r : r + 2, c : c + 2].mean() for r in (0, 2, 4, 6) for c in (0, 2, 4, 6)] for image in images]
    assert average_pooled(images).tolist() == by_hand
    assert flattened(images).shape == (2, 64)


def test_the_matrix_product_says_what_the_logistic_regression_says():
    train = split_digits(0).train
    model = LogisticRegression(max_iter=200, tol=1e-2).fit(average_pooled(train.images), train.labels)
    expected = model.decision_function(average_pooled(train.images))
    np.testing.assert_allclose(Thumbnail(model)(train.images), expected, rtol=1e-4, atol=1e-4)


def test_an_ensemble_answers_with_the_mean_of_its_networks():
    networks = [torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)) for _ in range(3)]
    images = torch.linspace(0.0, 1.0, 128).reshape(2, 8, 8)
    expected = sum(network(images.unsqueeze(1)) for network in networks) / 3
    np.testing.assert_allclose(Ensemble(networks)(images).detach(), expected.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_every_model_keeps_the_contract_of_a_stage(ladder):
    assert [stage.name for stage in ladder] == ["thumbnail", "linear", "mlp", "ensemble"]
    for stage in ladder:
        check_stage(stage, split_digits(0).calibration.images[:8])


@pytest.mark.slow
def test_a_little_training_already_beats_guessing(ladder):
    held_out = split_digits(0).held_out
    for stage in ladder:
        assert (stage.run(held_out.images)[0].argmax(axis=1) == held_out.labels).mean() > 0.5


@pytest.mark.slow
def test_training_repeats_itself_and_leaves_the_random_numbers_of_torch_alone(ladder):
    before = torch.get_rng_state()
    again = train_ladder(split_digits(0).train, seed=0, effort=LITTLE, progress=False)
    assert [stage.fingerprint for stage in again] == [stage.fingerprint for stage in ladder]
    assert torch.equal(torch.get_rng_state(), before)
