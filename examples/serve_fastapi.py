"""A FastAPI service that answers by its callers' deadlines or says that it cannot: ``uvicorn serve_fastapi:app``."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
import numpy as np
from fastapi import Body, FastAPI, Header, Response
from fastapi.responses import JSONResponse
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

import cascade

USUAL_MS, MOST_MS, DRAIN_MS = 100.0, 1000.0, 2000.0
# Status, and after how many seconds to try again; the first class that fits counts.
REFUSALS = {
    cascade.DataError: (422, None),
    cascade.BudgetTooSmall: (422, None),
    cascade.Rejected: (429, "1"),
    cascade.OverloadError: (503, "1"),
    cascade.Unavailable: (503, "5"),
}


def make_predictor():
    """Fitted here to be short; a service hands its models and ``Policy.load("policy.json")`` to ``Predictor``."""
    X, y = load_digits(return_X_y=True)
    small = LogisticRegression(max_iter=2000).fit(X[:700, 20:44], y[:700])
    big = MLPClassifier((256, 256), random_state=0).fit(X[:700], y[:700])
    stages = [cascade.Stage(small, name="small", preprocess=lambda x: x[:, 20:44]), cascade.Stage(big, name="big")]
    # Warms up every stage at every batch size, so that the first request is as fast as the thousandth.
    return cascade.Predictor.fit(stages, X[700:1300], y[700:1300], infeasible="raise", progress=False)


@asynccontextmanager
async def lifespan(app):
    app.state.predictor = await asyncio.to_thread(make_predictor)
    yield
    await asyncio.to_thread(app.state.predictor.close, drain_ms=DRAIN_MS)


app = FastAPI(lifespan=lifespan)


@app.post("/predict")
async def predict(
    pixels: Annotated[list[float], Body(embed=True)], x_budget_ms: Annotated[float, Header(ge=0.0)] = USUAL_MS
):
    answer = await app.state.predictor.apredict(np.array(pixels), budget_ms=min(x_budget_ms, MOST_MS))
    return {"label": int(answer.label), "path": answer.path, "in_time": answer.in_time, "budget_ms": answer.budget_ms}


@app.get("/ready")
async def ready():
    return Response(status_code=200 if app.state.predictor.ready else 503)


@app.exception_handler(cascade.CascadeError)
async def refuse(_, error):
    status, seconds = next((how for kind, how in REFUSALS.items() if isinstance(error, kind)), (500, None))
    said = {"error": type(error).__name__, "detail": str(error)}
    return JSONResponse(said, status, None if seconds is None else {"Retry-After": seconds})


async def ask(n=100):
    digits, headers = load_digits().data[-n:].tolist(), {"X-Budget-Ms": "80"}
    async with lifespan(app), httpx.AsyncClient(transport=httpx.ASGITransport(app), headers=headers) as client:
        asked = [client.post("http://here/predict", json={"pixels": digit}) for digit in digits]
        replies = await asyncio.gather(*asked)
    print("replies by status:", dict(Counter(reply.status_code for reply in replies)))


if __name__ == "__main__":
    asyncio.run(ask())
