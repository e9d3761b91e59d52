"""Three atoms in place of a distribution."""

import numpy as np

from cascade.core.atoms import ATOM_WEIGHTS, three_atoms

LEVELS = np.array([0.5, 0.9, 0.99, 0.999])


def atoms_of(sample):
    quantiles = np.quantile(sample, LEVELS, method="higher")[:, None]
    return three_atoms(np.array([sample.mean()]), quantiles, LEVELS)[0]


def band_means(sample):
    ordered = np.sort(sample)
    return [band.mean() for band in np.split(ordered, [ordered.size // 2, 9 * ordered.size // 10])]


def test_atoms_of_a_skewed_distribution_are_near_the_means_of_its_bands():
    sample = 3.0 + np.random.default_rng(0).gamma(2.0, 0.5, size=20_000)
    np.testing.assert_allclose(atoms_of(sample), band_means(sample), rtol=0.05)


def test_rare_spikes_go_to_the_slowest_atom_only():
    sample = np.ones(10_000)
    sample[:20] = 500.0
    np.testing.assert_allclose(atoms_of(sample), [1.0, 1.0, 10.98], rtol=1e-9)


def test_a_mean_above_every_quantile_raises_the_slowest_atom():
    values = three_atoms(np.array([5.0]), np.array([[1.0], [2.0]]), np.array([0.5, 0.9]))
    assert values @ ATOM_WEIGHTS == 5.0
    assert values[0, 0] == 1.0


def test_atoms_of_no_time_are_zero():
    assert three_atoms(np.zeros(2), np.zeros((4, 2)), LEVELS).tolist() == [[0.0] * 3] * 2
