"""Limits of a tenant: what can be one, and who is let in."""

import pytest

from gateway.errors import StorageError
from gateway.tenants.errors import RegistryError
from gateway.tenants.limits import Admission, TenantLimits


@pytest.mark.parametrize(
    "document",
    [{"storage": 1}, {"storage_bytes": -1}, {"storage_bytes": "1"}, {"storage_bytes": True}, {"storage_bytes": 1.5},
     {"requests_per_second": float("nan")}, {"requests_per_second": float("inf")}, {"storage_bytes": 2**63}],
)  # fmt: skip
def test_what_is_no_limit_is_refused(document):
    with pytest.raises(RegistryError):
        TenantLimits.of(document)


def test_document_is_read_back():
    limits = TenantLimits(requests_per_second=0.5, storage_bytes=0)
    assert TenantLimits.of(limits.document) == limits
    assert TenantLimits.of({"storage_bytes": None}) == TenantLimits()


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def admitted(admission, times, running=1):
    count, refusals = 0, set()
    for _ in range(times):
        try:
            admission.admit(running)
        except StorageError as error:
            refusals.add((error.code.name, error.code.retry_after_seconds))
        else:
            count += 1
    assert refusals <= {("SlowDown", 1)}
    return count


def test_rate_and_burst():
    clock = Clock()
    admission = Admission(TenantLimits(requests_per_second=8, request_burst=3), clock)
    assert admitted(admission, 20) == 3
    clock.now += 0.125
    assert admitted(admission, 20) == 1
    clock.now += 3600
    assert admitted(admission, 20) == 3


def test_rate_alone_allows_a_seconds_worth_at_once():
    assert admitted(Admission(TenantLimits(requests_per_second=5), Clock()), 20) == 5
    assert admitted(Admission(TenantLimits(requests_per_second=0.1), Clock()), 20) == 1


def test_rate_of_zero_lets_in_one_and_then_nobody():
    clock = Clock()
    admission = Admission(TenantLimits(requests_per_second=0), clock)
    admitted(admission, 1)
    clock.now += 10**6
    assert admitted(admission, 5) == 0


def test_concurrent_requests():
    admission = Admission(TenantLimits(concurrent_requests=2), Clock())
    assert admitted(admission, 1, running=2) == 1
    assert admitted(admission, 1, running=3) == 0
    assert admitted(Admission(TenantLimits(concurrent_requests=0), Clock()), 1, running=1) == 0


def test_no_limit_is_none():
    assert admitted(Admission(TenantLimits(), Clock()), 1000, running=1000) == 1000
