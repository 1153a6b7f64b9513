"""Every S3 operation, by every kind of credential, with tenant B named wherever a name can stand: the answer is the one
about something that does not exist, B's rows and bytes stay as they are, and nothing of B is told.

Left out, because there is nothing to compare: an anonymous request at B's own host is at B's own public door, and B's
policies decide it.
"""

import pytest

from conformance.isolation import s3_plan
from conformance.isolation.callers import Caller, Kind
from conformance.isolation.comparison import Comparison
from conformance.isolation.s3_plan import Place
from conformance.isolation.world import World, host_of
from gateway.operations.table import OPERATIONS
from gateway.s3.model import load

KINDS = (
    Kind.KEY, Kind.NARROWED, Kind.SESSION_TOKEN, Kind.WEB_IDENTITY, Kind.KEY_SESSION, Kind.PRESIGNED, Kind.ANONYMOUS,
)  # fmt: skip
# Another host is found out before an operation is known, so two kinds stand for all.
KINDS_AT_HOSTS = (Kind.KEY, Kind.PRESIGNED)


def test_every_operation_and_every_member_has_a_line_in_the_plan() -> None:
    names = {operation.name for operation in OPERATIONS}
    assert set(s3_plan.DOCUMENTS) == names
    members = {member.name for name in names for member in load()[name].input.members}
    planned = {*s3_plan.NAMING, *s3_plan.DOCUMENTED}
    assert not planned & s3_plan.NAMES_NOTHING
    assert members <= planned | s3_plan.NAMES_NOTHING, "say whether these name anything"
    for name in names:
        places = {cell.place for cell in s3_plan.cells(name)}
        assert Place.BUCKET in places or name == "ListBuckets"


@pytest.mark.parametrize("operation", [operation.name for operation in OPERATIONS])
def test_what_is_another_tenants_answers_as_what_does_not_exist(two_tenants: World, operation: str) -> None:
    comparison = Comparison(two_tenants)
    before = two_tenants.others_state()
    for kind in KINDS:
        caller = two_tenants.caller(kind)
        for cell in s3_plan.cells(operation):
            comparison.ask(
                f"{operation} by {kind}, {cell.place} ({cell.detail})",
                lambda names, cell=cell, caller=caller: caller.signed(cell.make(names)),
            )
    for kind in KINDS_AT_HOSTS:
        _ask_at_hosts(comparison, operation, two_tenants.caller(kind))
    assert not comparison.differences, "\n".join(comparison.differences)
    assert two_tenants.others_state() == before


def _ask_at_hosts(comparison: Comparison, operation: str, caller: Caller) -> None:
    request = s3_plan.plain(operation)
    comparison.ask(
        f"{operation} by {caller.kind}, {Place.HOST}",
        lambda names: caller.signed(request, host=host_of(names.tenant)),
    )
    comparison.ask(
        f"{operation} by {caller.kind}, {Place.FORWARDED_HOST}",
        lambda names: s3_plan.forwarded(caller.signed(request), host_of(names.tenant)),
    )
