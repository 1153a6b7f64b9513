"""The same for every route of the JSON API, and for tokens and signed URLs of tenant B at the doors of A.

Left out: a route that lets anybody in, at B's own host; it is B's public door, and B's policies decide it.
"""

from dataclasses import replace

import pytest

from conformance.isolation import rest_plan
from conformance.isolation.callers import Caller, Kind
from conformance.isolation.comparison import Comparison
from conformance.isolation.names import Names
from conformance.isolation.s3_plan import Place, forwarded
from conformance.isolation.wire import Request
from conformance.isolation.world import World, host_of
from gateway.rest.routes import ROUTES, Access, Route

KINDS = (Kind.BEARER, Kind.SERVICE_BEARER, Kind.ANONYMOUS)


def test_every_route_has_a_line_in_the_plan() -> None:
    assert set(rest_plan.LINES) == {route.name for route in ROUTES}
    for route in ROUTES:
        assert bool(list(rest_plan.cells(route))) != bool(rest_plan.LINES[route.name].reason)


@pytest.mark.parametrize("route", ROUTES, ids=[route.name for route in ROUTES])
def test_what_is_another_tenants_answers_as_what_does_not_exist(two_tenants: World, route: Route) -> None:
    comparison = Comparison(two_tenants)
    before = two_tenants.others_state()
    for kind in KINDS:
        caller = two_tenants.caller(kind)
        for cell in rest_plan.cells(route):
            comparison.ask(
                f"{route.name} by {kind}, {cell.place} ({cell.detail})",
                lambda names, cell=cell, caller=caller: caller.signed(cell.make(names)),
            )
        _ask_at_hosts(comparison, route, caller)
    comparison.ask(
        f"{route.name} by a token of the other's", lambda names: _by_foreign_token(two_tenants, route, names)
    )
    assert not comparison.differences, "\n".join(comparison.differences)
    assert two_tenants.others_state() == before


def _ask_at_hosts(comparison: Comparison, route: Route, caller: Caller) -> None:
    request = rest_plan.plain(route)
    comparison.ask(
        f"{route.name} by {caller.kind}, {Place.FORWARDED_HOST}",
        lambda names: forwarded(caller.signed(request), host_of(names.tenant)),
    )
    if route.access is Access.TOKEN:
        comparison.ask(
            f"{route.name} by {caller.kind}, {Place.HOST}",
            lambda names: caller.signed(request, host=host_of(names.tenant)),
        )


def _by_foreign_token(world: World, route: Route, names: Names) -> Request:
    return replace(world.caller(Kind.BEARER), token=names.user_token).signed(rest_plan.plain(route))
