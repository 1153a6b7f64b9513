"""What schemathesis is told beside the OpenAPI document: names that exist, and that 501 is an answer of its own."""

import os
import zlib

import schemathesis

BUCKET = os.environ["FUZZ_BUCKET"]
KEYS = ("a/b.txt", "ü/世界", "plain")
# What would take the bucket away from those who come after.
ENDING = {"deleteBucket", "emptyBucket"}


@schemathesis.hook
def before_call(context, case, kwargs):
    """Most calls name a bucket that is there: what is made up is refused before it says anything of the rest."""
    found = case.path_parameters
    if not found or "bucket" not in found or case.operation.definition.raw["operationId"] in ENDING:
        return
    # by the case itself, so that a repetition is the same
    draw = zlib.crc32(repr((case.method, case.path, sorted(found.items()), case.query)).encode("utf-8", "replace"))
    if draw % 4:
        found["bucket"] = BUCKET
        if "key" in found and draw % 3:
            found["key"] = KEYS[draw % len(KEYS)]


@schemathesis.check
def no_failure(ctx, response, case):
    """No 5xx but the refusal of what is not implemented, which says so."""
    if response.status_code >= 500:
        assert response.status_code == 501, response.status_code
        assert case.method == "HEAD" or response.json()["code"] == "NotImplemented"


@schemathesis.check
def refusals_have_their_shape(ctx, response, case):
    """Every refusal has all four members, and a status inside that goes with the one outside."""
    if response.status_code < 400 or case.method == "HEAD":
        return
    body = response.json()
    assert set(body) == {"statusCode", "error", "message", "code"}, body
    assert all(isinstance(value, str) and value for value in body.values()), body
    assert response.status_code in (400, int(body["statusCode"])), body
