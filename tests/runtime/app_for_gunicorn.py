"""A web application of one predictor, as gunicorn loads it: ``app_for_gunicorn:create(n_workers)``."""

import os
import threading

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from cascade.core.service import ServiceTable
from cascade.predictor import Predictor
from cascade.stages.stage import Stage


def create(n_workers):
    """The application. Wherever it is made, in the master or in a worker, its lanes have served before anybody asks."""
    images, labels = load_digits(return_X_y=True)
    images = images / 16.0
    stages = [
        Stage(LogisticRegression().fit(images[:300, 20:44], labels[:300]), name="small", preprocess=_middle),
        Stage(LogisticRegression().fit(images[:600], labels[:600]), name="big"),
    ]
    service = ServiceTable.from_costs([1.0, 2.0], stages=["small", "big"])
    predictor = Predictor.fit(
        stages, images[700:1300], labels[700:1300], service=service, machine_share=1 / n_workers, progress=False
    )
    predictor.submit(images[0]).result(timeout=30.0)
    made_in = os.getpid()

    def app(environ, start_response):
        answer = predictor.submit(images[int(environ["QUERY_STRING"])], budget_ms=20_000.0).result(timeout=30.0)
        threads = sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("cascade-lane"))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{os.getpid()} {made_in} {answer.label} {','.join(threads)}".encode()]

    return app


def _middle(batch):
    return batch[:, 20:44]
