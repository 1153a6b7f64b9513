"""The circuit breaker, with a clock of our own."""

from gateway.blobs.breaker import CircuitBreaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_opens_after_so_many_failures_in_a_row() -> None:
    breaker = CircuitBreaker(3, 5, clock=Clock())
    assert [breaker.failed(), breaker.failed()] == [False, False]
    assert breaker.allow()
    breaker.succeeded()
    assert [breaker.failed(), breaker.failed(), breaker.failed()] == [False, False, True]
    assert breaker.is_open
    assert not breaker.allow()


def test_one_try_at_a_time_passes_when_the_wait_is_over() -> None:
    clock = Clock()
    breaker = CircuitBreaker(1, 5, clock=clock)
    assert breaker.failed()
    clock.now = 5
    assert [breaker.allow(), breaker.allow()] == [True, False]
    assert not breaker.failed()  # it was open already
    clock.now = 9
    assert not breaker.allow()
    clock.now = 10
    assert breaker.allow()
    breaker.succeeded()
    assert [breaker.allow(), breaker.allow(), breaker.is_open] == [True, True, False]
