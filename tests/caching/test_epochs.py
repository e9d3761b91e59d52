"""What was begun before an invalidation is never valid after it, however many there were."""

from hypothesis import given
from hypothesis import strategies as st

from cascade.caching.epochs import Epochs

TENANTS = [b"a", b"b", b"c"]


@given(st.lists(st.sampled_from([*TENANTS, None]), max_size=12), st.sampled_from(TENANTS), st.integers(0, 12))
def test_what_began_is_valid_until_its_namespace_or_everything_is_void(voided, tenant, at):
    epochs = Epochs()
    began = None
    for step, name in enumerate([*voided, b"nobody"]):
        if step == min(at, len(voided)):
            began, _ = epochs.since(tenant)
            left = voided[step:]
        if step < len(voided):
            epochs.void_all() if name is None else epochs.void(name)
    assert (began >= epochs.since(tenant)[1]) == (tenant not in left and None not in left)


def test_when_there_are_too_many_dates_more_is_void_and_nothing_less():
    epochs = Epochs()
    began = {i: epochs.since(b"%d" % i)[0] for i in range(1500)}
    for i in range(1500):
        epochs.void(b"%d" % i)
    assert all(began[i] < epochs.since(b"%d" % i)[1] for i in began)
    epochs.renew()
    assert epochs.void(b"x") == 1501
