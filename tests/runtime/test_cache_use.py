"""What one request does with a cache, from the look-up to what it leaves there."""

from types import SimpleNamespace

import pytest

from cascade.caching.result_cache import ResultCache
from cascade.core.policy import Policy
from cascade.core.service import ServiceTable
from cascade.runtime.cache_use import CacheUse
from cascade.runtime.memory import Memory
from cascade.runtime.ready import ReadyPolicy
from cascade.testing.fakes import FakeStage

NAMES = ("small", "big")
STAGES = [FakeStage(name, [[0.5, 0.5]], classes=("no", "yes"), version=name) for name in NAMES]
POLICY = Policy.from_thresholds([0.9], ServiceTable.from_costs([1.0, 5.0], stages=NAMES)).for_classes(("no", "yes"))
MEMORY = Memory(ReadyPolicy(POLICY, STAGES))


@pytest.fixture
def cache():
    return ResultCache()


@pytest.fixture
def ask(cache):
    def ask(x="x"):
        key = cache.key(x)
        entry = cache.find(key)
        return CacheUse(cache, MEMORY, key, x, entry=entry, start=entry and MEMORY.start_of(entry))

    return ask


def request(use):
    """A request that is to be answered, beginning with what is known."""
    reached = SimpleNamespace(evidence_set=0, path=(), state=MEMORY.ready.new_state(), ready=MEMORY.ready)

    def resume(start):
        reached.evidence_set, reached.path = start.evidence_set, start.path

    def say(j):
        reached.state[2 * j : 2 * j + 2] = -1.0 - j
        reached.evidence_set |= 1 << j
        reached.path += (NAMES[j],)

    reached.resume, reached.say, reached.carry_of = resume, say, lambda j: None
    use.begin(reached)
    return reached


def test_what_stages_say_is_known_to_the_next_one(cache, ask):
    use = ask()
    assert use.start is None
    use.lead = cache.enter(use.key)
    request(use).say(0)
    use.end()
    after = ask()
    assert after.start.path == ("small",)
    assert after.start.rows[0].tolist() == [-1.0, -1.0]
    assert len(cache.flights) == 0


def test_who_has_to_leave_takes_along_what_the_leader_has_so_far(cache, ask):
    leader, joiner = ask(), ask()
    leader.lead = cache.enter(leader.key, runs_here=False)
    join = cache.enter(joiner.key, runs_here=False)
    running = request(leader)
    assert not joiner.learn(join.said)
    running.say(0)
    assert joiner.learn(join.said)
    assert (joiner.start.path, joiner.has_joined) == (("small",), True)
    assert not joiner.learn(join.said)
    running.say(1)
    leader.end()
    assert joiner.learn(join.said)
    joiner.answered()
    assert (cache.stats().joins, cache.stats().misses) == (1, 1)


def test_a_request_that_goes_on_counts_as_an_upgrade_once(cache, ask):
    first = ask()
    request(first).say(0)
    first.end()
    second = ask()
    second.lead = cache.enter(second.key)
    running = request(second)
    assert running.path == ("small",)
    running.say(1)
    second.end()
    second.end()
    assert ask().start.path == NAMES
    stats = cache.stats()
    assert (stats.misses, stats.upgrades, stats.hits) == (1, 1, 1)


def test_nothing_said_wakes_who_waits_and_leaves_nothing(cache, ask):
    use = ask()
    use.lead = cache.enter(use.key, runs_here=False)
    join = cache.enter(ask().key, runs_here=False)
    request(use)
    use.end()
    assert (join.is_over, join.has_landed, cache.stats().entries) == (True, False, 0)


def test_another_policy_is_followed_from_what_is_known(cache, ask):
    first = ask()
    request(first).say(0)
    first.end()
    use = ask()
    use.lead = cache.enter(use.key)
    reached = request(use)
    other = Memory(ReadyPolicy(POLICY, STAGES))
    use.follow(other, reached)
    assert use.memory is other
    assert reached.path == ("small",)
    use.end()


def test_an_error_on_the_way_still_ends_the_lead(cache, ask):
    use = ask()
    use.lead = cache.enter(use.key)
    request(use).say(0)
    use.memory = SimpleNamespace(ran=lambda *args, **keywords: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        use.end()
    assert len(cache.flights) == 0
    assert not cache.flights.is_at_work()
