"""A web application of one predictor, as gunicorn loads it: ``app_for_gunicorn:create(n_workers, served_before)``."""

import os
import threading

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from cascade.core.service import ServiceTable
from cascade.predictor import Predictor
from cascade.stages.stage import Stage


def create(n_workers):
    """The application; its predictor has used its lanes and its timer before anybody asks, wherever that is."""
    X, y = load_digits(return_X_y=True)
    stages = [
        Stage(LogisticRegression(max_iter=300).fit(X[:300, 20:44], y[:300]), name="small", preprocess=_middle),
        Stage(GaussianNB().fit(X[:300] + 0.0, y[:300]), name="big"),
    ]
    service = ServiceTable.from_costs([1.0, 5.0], stages=["small", "big"])
    predictor = Predictor.fit(
        stages, X[700:1300], y[700:1300], service=service, machine_share=1 / n_workers, progress=False
    )
    predictor.submit(X[0], budget_ms=5000.0).result()
    made_by = os.getpid()

    def app(environ, start_response):
        row = int(environ["QUERY_STRING"])
        answer = predictor.submit(X[row], budget_ms=20_000.0).result()
        own = [thread.name for thread in threading.enumerate() if thread.name.startswith("cascade")]
        said = f"{os.getpid()} {made_by} {answer.label} {predictor.stats().n_requests} {','.join(sorted(own))}"
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [said.encode()]

    return app


def _middle(batch):
    return np.ascontiguousarray(batch[:, 20:44])
