"""Noninterference: whatever B does meanwhile, in the same worker and under the same names, what A is answered is what A
is answered alone.

Random programs of S3 operations through the application in process; every status, header and body of A is compared, but
for what differs between any two answers (request ids, dates, generated ids).
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from conformance.isolation import s3_plan
from conformance.isolation.wire import Answer
from tests.fix_postgres import Server
from tests.integration.in_process import Worker, many_tenants

A, B = "tenant-a", "tenant-b"
BUCKETS: Final = ("first", "second")
KEYS: Final = ("a", "a/b", "c")
BODIES: Final = (b"small", b"another", bytes(6_000))
# Operation, and the members it is given a random value for.
OPERATIONS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("CreateBucket", ("Bucket",)),
    ("CreateBucket", ("Bucket",)),
    ("DeleteBucket", ("Bucket",)),
    ("ListBuckets", ()),
    ("PutObject", ("Bucket", "Key", "Body")),
    ("PutObject", ("Bucket", "Key", "Body")),
    ("PutObject", ("Bucket", "Key", "Body")),
    ("GetObject", ("Bucket", "Key")),
    ("HeadObject", ("Bucket", "Key")),
    ("DeleteObject", ("Bucket", "Key")),
    ("CopyObject", ("Bucket", "Key", "CopySource")),
    ("ListObjectsV2", ("Bucket",)),
    ("ListObjectVersions", ("Bucket",)),
    ("PutObjectTagging", ("Bucket", "Key")),
    ("GetObjectTagging", ("Bucket", "Key")),
    ("PutBucketVersioning", ("Bucket", "VersioningConfiguration")),
    ("GetBucketVersioning", ("Bucket",)),
    ("PutBucketCors", ("Bucket",)),
    ("GetBucketCors", ("Bucket",)),
    ("CreateMultipartUpload", ("Bucket", "Key")),
    ("UploadPart", ("Bucket", "Key", "Body")),
    ("ListMultipartUploads", ("Bucket",)),
    ("GetBucketAcl", ("Bucket",)),
    ("PutObjectAnnotation", ("Bucket", "Key")),
    ("ListObjectAnnotations", ("Bucket", "Key")),
)
VALUES: Final[dict[str, st.SearchStrategy[Any]]] = {
    "Bucket": st.sampled_from(BUCKETS),
    "Key": st.sampled_from(KEYS),
    "Body": st.sampled_from(BODIES),
    "CopySource": st.builds("{}/{}".format, st.sampled_from(BUCKETS), st.sampled_from(KEYS)),
    "VersioningConfiguration": st.sampled_from([{"Status": "Enabled"}, {"Status": "Suspended"}]),
}
Step = tuple[str, dict[str, Any]]


@st.composite
def steps(draw: st.DrawFn) -> Step:
    name, members = draw(st.sampled_from(OPERATIONS))
    return name, {member: draw(VALUES[member]) for member in members}


PROGRAMS: Final = st.lists(steps(), min_size=8, max_size=25).map(
    lambda program: [("CreateBucket", {"Bucket": BUCKETS[0]}), *program]
)


async def run(worker: Worker, tenant: str, program: list[Step]) -> list[Answer]:
    """The answers to a program, one after the other; parts go to the upload that was begun last."""
    answers: list[Answer] = []
    upload_id = "0" * 32
    for name, members in program:
        given_members = {**members, "UploadId": upload_id} if name == "UploadPart" else members
        answer = await worker.ask(tenant, s3_plan.plain(name, **given_members))
        if name == "CreateMultipartUpload" and answer.status == 200:
            upload_id = answer.body.split(b"<UploadId>")[1].split(b"<")[0].decode()
        answers.append(answer)
    return answers


def observed(answers: list[Answer], host_id: str) -> list[Any]:
    return [answer.comparable(((host_id, "HOST"),)) for answer in answers]


class Bench:
    """The worker and the loop it lives in."""

    def __init__(self, runner: asyncio.Runner, worker: Worker) -> None:
        self.runner = runner
        self.worker = worker

    def observe(self, mine: list[Step], others: list[Step] | None) -> list[Any]:
        """What A sees of its program, from nothing, alone or while B runs one."""
        for tenant in (A, B):
            self.worker.forget(tenant)
        return self.runner.run(self._observe(mine, others))

    async def _observe(self, mine: list[Step], others: list[Step] | None) -> list[Any]:
        if others is None:
            answers = await run(self.worker, A, mine)
        else:
            # B has begun already, under the same names, and goes on meanwhile
            await run(self.worker, B, others[: len(others) // 2])
            answers, _ = await asyncio.gather(
                run(self.worker, A, mine), run(self.worker, B, others[len(others) // 2 :])
            )
        return observed(answers, dict(answers[0].headers)["x-amz-id-2"])


@pytest.fixture(scope="module")
def bench(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = Path(tmp_path_factory.mktemp("noninterference"))
    with postgres.fresh() as control, postgres.fresh() as first, postgres.fresh() as second, asyncio.Runner() as runner:
        opened = many_tenants(control, {A: first, B: second}, directory)
        worker = runner.run(opened.__aenter__())
        try:
            yield Bench(runner, worker)
        finally:
            runner.run(opened.__aexit__(None, None, None))


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(mine=PROGRAMS, others=PROGRAMS)
def test_observations_of_one_tenant_are_the_same_without_the_other(
    bench: Bench, mine: list[Step], others: list[Step]
) -> None:
    alone = bench.observe(mine, None)
    event(f"{sum(status < 300 for status, _, _ in alone) * 10 // len(alone) * 10} % succeeded")
    assert bench.observe(mine, others) == alone


def test_interference_would_be_seen(bench: Bench) -> None:
    """The same comparison where B's program is run with A's key."""
    read: list[Step] = [("GetObject", {"Bucket": "first", "Key": "a"}), ("ListObjectsV2", {"Bucket": "first"})]
    write: list[Step] = [("CreateBucket", {"Bucket": "first"}), ("PutObject", {"Bucket": "first", "Key": "a"})]
    alone = bench.observe(read, None)
    assert [status for status, _, _ in alone] == [404, 404]
    worker = bench.worker
    confused = Worker(worker.application, {**worker.callers, B: worker.callers[A]}, worker.places)
    assert bench.observe(read, [*write, *write]) == alone
    assert Bench(bench.runner, confused).observe(read, [*write, *write]) != alone
