"""A threshold that looks right on a sample breaks its promise about half the time; a certified policy does as it says.

Two models of scikit-learn's digits. Items that neither models nor policy were fitted on are a pool whose risk is known exactly.
Samples are drawn from it again and again. Each time the naive rule takes the lowest confidence at which the small model may answer
with a risk on the sample that looks small enough, and `control_risk` takes the highest load price for which it has a proof.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

import cascade

MAX_RISK, DELTA, N_SAMPLES, N_ITEMS = 0.03, 0.1, 200, 400

X, y = load_digits(return_X_y=True)
train, fit, pool = np.split(np.random.default_rng(0).permutation(len(X)), [300, 700])
small = LogisticRegression(max_iter=3000).fit(X[train, 20:44], y[train])
big = MLPClassifier((128,), max_iter=600, random_state=0).fit(X[train], y[train])
said = np.stack([small.predict_proba(X[:, 20:44]), big.predict_proba(X)], axis=1)
outcomes = cascade.Outcomes.from_probs(said, y, stages=["small", "big"])
items = outcomes.take(pool)

# The risk: the big model is right, and the answer is wrong.
costly_mistakes = items.correct[:, 1] & ~items.correct[:, 0]
confidence = items.confidence[:, 0]


def lowest_threshold(rows):
    """The lowest confidence from which on the small model may answer, if these rows tell the truth."""
    order = np.argsort(-confidence[rows])
    risk = np.cumsum(costly_mistakes[rows][order]) / len(rows)
    n_answered = np.searchsorted(risk, MAX_RISK, side="right")
    return confidence[rows][order][n_answered - 1]


policy = cascade.fit_policy(outcomes.take(fit), cascade.ServiceTable.from_costs([1.0, 10.0], stages=["small", "big"]))
prices = [0.0, *policy.decisions().prices]
wrong = np.stack([~policy.replay(items, price=price).correct for price in prices])
# A router may take any price up to the certified one: what counts is the worst of them for every item.
true_risk = dict(zip(prices, (items.correct[:, 1] & np.logical_or.accumulate(wrong)).mean(axis=1), strict=True))

rng = np.random.default_rng(1)
n_broken = {"a threshold that looks right": 0, "control_risk": 0}
certificate = None
for _ in range(N_SAMPLES):
    rows = rng.integers(0, items.n_items, N_ITEMS)
    early = confidence >= lowest_threshold(rows)
    n_broken["a threshold that looks right"] += (costly_mistakes & early).mean() > MAX_RISK
    try:
        certificate = cascade.control_risk(policy, items.take(rows), MAX_RISK, DELTA, "lost", reference="big")
    except cascade.NotCertifiable:
        continue
    n_broken["control_risk"] += true_risk[certificate.price] > MAX_RISK

print(f"at most {MAX_RISK:.0%} of the items lost against the big model; {N_SAMPLES} samples of {N_ITEMS} items:")
for rule, n in n_broken.items():
    print(f"  {rule:28} broke its promise in {n / N_SAMPLES:.0%} of the samples")
print(f"\nThe last certificate: {certificate}")
