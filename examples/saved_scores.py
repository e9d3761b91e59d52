"""Fit and replay a policy on saved scores: no model, no thread."""

import numpy as np

import cascade

rng = np.random.default_rng(0)
labels = rng.integers(0, 5, 4000)
logits = rng.normal(size=(4000, 3, 5))
logits[np.arange(4000), :, labels] += [1.5, 2.5, 3.5]
probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)

outcomes = cascade.Outcomes.from_probs(probs, labels, stages=["cheap", "middle", "dear"])
fit, held_out = outcomes.take(np.arange(2000)), outcomes.take(np.arange(2000, 4000))
service = cascade.ServiceTable.from_costs([1.0, 4.0, 16.0])
policy = cascade.fit_policy(fit, service, seed=0)
print(policy.explain())

print("\n  price   accuracy   mean cost")
for price in np.geomspace(1e-4, 0.2, 8):
    result = policy.replay(held_out, price=float(price))
    print(f"{price:7.4f} {result.accuracy:10.4f} {result.mean_cost:11.2f}")

chain = cascade.Policy.from_thresholds([0.9, 0.8], service).replay(
    cascade.Outcomes.from_probs(probs[2000:], labels[2000:])
)
print(f"by hand {chain.accuracy:10.4f} {chain.mean_cost:11.2f}")
