"""Many threads, one predictor: requests that come while the lane is busy run together, and late ones are refused."""

from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

import cascade
from cascade.scheduling.messages import Run

N_REQUESTS = 600

X, y = load_digits(return_X_y=True)
small = LogisticRegression(max_iter=2000).fit(X[:700, 20:44], y[:700])
big = MLPClassifier((256, 256), random_state=0).fit(X[:700], y[:700])
stages = [cascade.Stage(small, name="small", preprocess=lambda x: x[:, 20:44]), cascade.Stage(big, name="big")]
outcomes = cascade.Outcomes.record(stages, X[700:1300], y[700:1300])
service = cascade.profile(stages, X[700:1300], progress=False)
policy = cascade.fit_policy(outcomes, service)
rows = np.resize(np.arange(1300, len(X)), N_REQUESTS)


def how_it_went(predictor, how):
    """What has become of the requests, and how many shared each of the latest runs that were queued for."""
    stats = predictor.stats()
    sizes = [len(command.requests) for _, command in predictor.decisions() if isinstance(command, Run)]
    shared = f"{np.mean(sizes):.1f} requests in each queued run" if sizes else "nothing queued"
    n_refused = stats.n_rejected + stats.n_expired
    print(f"{how:21} {stats.n_in_time} of {N_REQUESTS} in time, {n_refused} refused, {shared}")


def is_right(predictor, row):
    """What a worker thread does: ask, wait for the answer, and go on without one if it is refused."""
    try:
        return predictor.predict(X[row], budget_ms=200.0).label == y[row]
    except cascade.OverloadError:
        return False


# The threads wait for their answers. One alone never queues; of many, those that find the lane busy join.
for n_threads in (1, 2, 8, 32):
    with cascade.Predictor(stages, policy, service) as predictor, ThreadPoolExecutor(n_threads) as pool:
        n_right = sum(pool.map(partial(is_right, predictor), rows))
        how_it_went(predictor, f"predict, {n_threads:2d} threads:")
print(f"{n_right} of the last {N_REQUESTS} right and answered")

# One thread hands everything in and collects what is done; nothing blocks but the collecting.
with cascade.Predictor(stages, policy, service) as predictor:
    asked = {}
    for row in rows:
        urgent = row % 4 == 0
        priority, budget_ms = ("interactive", 200.0) if urgent else ("background", None)
        asked[predictor.submit(X[row], budget_ms=budget_ms, priority=priority)] = urgent
    waited = {True: [], False: []}
    for future in as_completed(asked):
        if future.exception() is None:
            waited[asked[future]].append(future.result().queue_wait_ms)
    how_it_went(predictor, "submit,  1 thread:")
print(f"urgent requests waited {np.mean(waited[True]):.0f} ms on average, the others {np.mean(waited[False]):.0f} ms")
