import asyncio
from threading import get_ident

from harness.clients import asked_by_coroutines, asked_by_threads


def test_every_client_is_a_thread_of_its_own_that_asks_one_row_after_the_other():
    asked = {}
    took = asked_by_threads(lambda i: asked.setdefault(get_ident(), []).append(i), 3, 5.0)
    assert len(asked) == 3
    assert len({rows[0] for rows in asked.values()}) == 3
    for rows in asked.values():
        assert rows == list(range(rows[0], rows[0] + len(rows)))
    assert 0.0 < took.p50_us <= took.p99_us


def test_coroutines_ask_at_once():
    together, most = 0, 0

    async def ask(i):
        nonlocal together, most
        together += 1
        most = max(most, together)
        await asyncio.sleep(0)
        together -= 1

    took = asyncio.run(asked_by_coroutines(ask, 4, 5.0))
    assert most == 4
    assert took.requests_per_second > 0.0
