"""The FastAPI example, asked by real clients: in process, and over loopback from a real server."""

import asyncio
import json
import math

import httpx
import pytest
import uvicorn
from sklearn.datasets import load_digits

PATIENCE_S = 30.0
DIGIT = {"pixels": [0.0] * 64}

pytestmark = pytest.mark.slow


@pytest.fixture
def example(load_example):
    return load_example("serve_fastapi")


@pytest.fixture
def held_example(example, held, monkeypatch):
    """The example with a predictor that stands still, and has room for one request that runs and one that waits."""
    monkeypatch.setattr(example, "make_predictor", lambda: held)
    return example


def talk(example, scenario):
    """What a client says that talks to the service in process while it is up."""

    async def run():
        transport = httpx.ASGITransport(example.app)
        async with example.lifespan(example.app), httpx.AsyncClient(transport=transport, base_url="http://h") as client:
            return await scenario(client)

    return asyncio.run(run())


def posted(client, budget_ms, pixels=DIGIT["pixels"]):
    # Not as json=, which refuses to send what is no number.
    headers = {"Content-Type": "application/json", **({} if budget_ms is None else {"X-Budget-Ms": str(budget_ms)})}
    return client.post("/predict", content=json.dumps({"pixels": [*pixels]}), headers=headers)


def test_digits_are_read_and_the_budget_is_that_of_the_header_up_to_a_limit(example):
    X, y = load_digits(return_X_y=True)

    async def scenario(client):
        told = [(await posted(client, budget_ms)).json() for budget_ms in (None, 250, 5000)]
        return told, [(await posted(client, 1000, x)).json()["label"] for x in X[:20]]

    told, labels = talk(example, scenario)
    assert [reply["budget_ms"] for reply in told] == pytest.approx([100.0, 250.0, 1000.0])
    assert labels == y[:20].tolist()


def test_who_asks_for_what_cannot_be_is_told_so_and_not_to_try_again(example):
    bad = [(50, [0.0] * 3), (50, [math.nan] * 64), (0, [0.0] * 64), (-1, [0.0] * 64), ("nan", [0.0] * 64)]

    async def scenario(client):
        return [await posted(client, budget_ms, pixels) for budget_ms, pixels in bad]

    replies = talk(example, scenario)
    assert {reply.status_code for reply in replies} == {422}
    assert [reply.json().get("error") for reply in replies[:3]] == ["InputMismatch", "NotFinite", "BudgetTooSmall"]
    assert not any("Retry-After" in reply.headers for reply in replies)


def test_more_than_may_wait_is_too_many_requests(held_example, held):
    async def scenario(client):
        held.submit(DIGIT["pixels"])
        assert held.running.wait(PATIENCE_S)
        held.submit(DIGIT["pixels"])
        reply = await posted(client, 1000)
        held.let_go()
        return reply

    reply = talk(held_example, scenario)
    assert (reply.status_code, reply.json()["error"], reply.headers["Retry-After"]) == (429, "Rejected", "1")


def test_whoever_waited_in_vain_is_told_that_the_service_is_overloaded(held_example, held):
    async def scenario(client):
        held.submit(DIGIT["pixels"])
        assert held.running.wait(PATIENCE_S)
        reply = await posted(client, 40)
        held.let_go()
        return reply

    reply = talk(held_example, scenario)
    assert (reply.status_code, reply.json()["error"], reply.headers["Retry-After"]) == (503, "Expired", "1")


def test_a_stage_that_fails_is_an_error_of_the_service(held_example, held, monkeypatch):
    def fail(batch):
        raise ValueError("no model")

    held.let_go()
    monkeypatch.setattr(held.stage, "_function", fail)
    reply = talk(held_example, lambda client: posted(client, 1000))
    assert (reply.status_code, reply.json()["error"]) == (500, "StageError")


def test_a_closed_service_is_not_ready_and_sends_callers_elsewhere(held_example, held):
    async def scenario(client):
        before = await client.get("/ready")
        held.close()
        return before, await client.get("/ready"), await posted(client, 1000)

    before, after, reply = talk(held_example, scenario)
    assert (before.status_code, after.status_code) == (200, 503)
    assert (reply.status_code, reply.json()["error"], reply.headers["Retry-After"]) == (503, "PredictorClosed", "5")


def test_the_predictor_is_closed_with_the_service(held_example, held):
    async def scenario(client):
        return held.ready

    assert talk(held_example, scenario)
    assert not held.ready


async def served(app):
    """A server of this application on a free port of this machine, and its task."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    return server, serving


def client_of(server):
    port = server.servers[0].sockets[0].getsockname()[1]
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S)


def test_every_one_of_many_requests_at_once_has_its_reply(example):
    async def ask(n):
        server, serving = await served(example.app)
        async with client_of(server) as client:
            replies = await asyncio.gather(*(client.post("/predict", json=DIGIT) for _ in range(n)))
        stats = example.app.state.predictor.stats()
        server.should_exit = True
        await asyncio.wait_for(serving, PATIENCE_S)
        return [reply.status_code for reply in replies], stats

    statuses, stats = asyncio.run(ask(64))
    assert set(statuses) <= {200, 429, 503}
    assert statuses.count(200) == stats.n_requests
    assert statuses.count(429) == stats.n_rejected
    assert statuses.count(503) == stats.n_expired


def test_a_request_in_progress_is_answered_when_the_server_is_told_to_stop(held_example, held, monkeypatch):
    # On a busy machine a second may pass before the stage is let go.
    monkeypatch.setattr(held_example, "MOST_MS", 1000.0 * PATIENCE_S)

    async def ask():
        server, serving = await served(held_example.app)
        async with client_of(server) as client:
            asked = asyncio.create_task(client.post("/predict", json=DIGIT, headers={"X-Budget-Ms": "30000"}))
            assert await asyncio.to_thread(held.running.wait, PATIENCE_S)
            server.should_exit = True
            held.let_go()
            reply = await asked
        await asyncio.wait_for(serving, PATIENCE_S)
        return reply

    assert asyncio.run(ask()).json()["label"] == 0
    assert not held.ready


def test_the_example_runs_as_a_script(example, capsys):
    asyncio.run(example.ask(10))
    assert "200" in capsys.readouterr().out
