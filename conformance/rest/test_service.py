"""Is it alive, is it ready; and what the CDN is told, of changes by whatever way and on demand."""

import time
from typing import Any

import psycopg

from conformance.rest.client import Answer, Api
from conformance.rest.conftest import ADMIN_KEY
from conformance.rest.stubs import Stub
from conformance.server import RunningServer


def test_status_version_and_health(nobody: Api, service: Api, anon: Api, own_port: Api) -> None:
    for caller in (nobody, own_port):
        for method in ("GET", "HEAD"):
            answer = caller.request(method, "/status")
            assert (answer.status, answer.body) == (200, b"")
    assert nobody.send("GET", "/version").body
    assert service.send("GET", "/health").json == {"healthy": True}
    assert anon.send("GET", "/health").json == {"healthy": True}
    assert nobody.send("GET", "/health").code == (400, "400", "InvalidRequest")


def test_ready_names_what_is_asked(nobody: Api, own_port: Api) -> None:
    for caller in (nobody, own_port):
        answer = caller.send("GET", "/health/ready")
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
        assert answer.json == {"ready": True, "down": [], "checks": {"postgres": "up", "backend:file": "up"}}
    assert nobody.request("HEAD", "/health/ready").status == 200


def test_purge_without_a_CDN_is_refused(service: Api, anon: Api, fresh: str) -> None:
    for path in ("/cdn", f"/cdn/{fresh}", f"/cdn/{fresh}/k"):
        assert service.send("DELETE", path).code == (400, "400", "MissingParameter")
        assert anon.send("DELETE", path).code == (403, "403", "AccessDenied")


def until(answered: Any, seconds: float = 15) -> Answer:
    """The first answer that is as it should be, or the last one."""
    deadline = time.monotonic() + seconds
    while True:
        answer, good = answered()
        if good or time.monotonic() > deadline:
            return answer
        time.sleep(0.1)


def test_not_ready_while_a_backend_is_away_and_again_when_it_is_back(
    handing: RunningServer, handing_service: Api, stub: Stub
) -> None:
    admin = Api("127.0.0.1", int(handing.settings["ROWLOCK_ADMIN_PORT"]), None, "")
    doors = (handing_service.by(None), admin)
    assert admin.request("GET", "/status").status == 200
    assert admin.request("GET", "/tenants").status == 403
    assert admin.request("GET", "/tenants", headers={"apikey": ADMIN_KEY}).status == 200
    try:
        for up in (True, False, True):
            stub.is_up = up
            for door in doors:

                def ask(door: Api = door, up: bool = up) -> tuple[Answer, bool]:
                    answer = door.request("GET", "/health/ready")
                    return answer, (answer.status == 200) is up

                answer = until(ask)
                assert (answer.status, answer.json["ready"]) == ((200, True) if up else (503, False))
                assert answer.json["down"] == ([] if up else ["backend:away"])
                assert set(answer.json["checks"]) == {"postgres", "backend:file", "backend:store", "backend:away"}
                assert stub.url.encode() not in answer.body
        # a backend that is away takes nothing from what does not need it
        stub.is_up = False
        assert handing_service.request("GET", "/status").status == 200
        assert handing_service.request("GET", "/bucket").status == 200
    finally:
        stub.is_up = True


def test_purge_is_told_at_once(handing_service: Api, stub: Stub) -> None:
    for path, kind, bucket, key in (
        ("/cdn", "tenant", None, None),
        ("/cdn/b?transformations=true", "bucket-transforms", "b", None),
        ("/cdn/b/a%20b/%C3%BC?transformations=false", "object", "b", "a b/ü"),
    ):
        answer = handing_service.send("DELETE", path, {})
        assert (answer.status, answer.json) == (200, {"message": "success", "statusCode": "200"})
        assert stub.was_told(kind, bucket, key, seconds=0.1)
    assert stub.keys == {"Bearer purge-key"}
    assert handing_service.by(None).send("DELETE", "/cdn").status == 400
    stub.takes_purges = False
    try:
        assert handing_service.send("DELETE", "/cdn").code == (500, "500", "InternalError")
    finally:
        stub.takes_purges = True


def test_changes_are_told_whoever_makes_them(
    handing_service: Api, handing_s3: Any, handing_sql: psycopg.Connection[Any], stub: Stub
) -> None:
    bucket = handing_service.make_bucket("told", public=True)
    for key in ("overwritten", "deleted", "moved", "by-s3", "by-psql"):
        handing_service.upload(bucket, key)
    handing_service.upload(bucket, "overwritten", b"again", x_upsert="true")
    handing_service.send("DELETE", f"/object/{bucket}/deleted")
    move = {"bucketId": bucket, "sourceKey": "moved", "destinationKey": "elsewhere"}
    assert handing_service.send("POST", "/object/move", move).status == 200
    handing_s3.delete_object(Bucket=bucket, Key="by-s3")
    handing_sql.execute("DELETE FROM storage.objects WHERE name = 'by-psql'")
    for key in ("overwritten", "deleted", "moved", "by-s3", "by-psql"):
        assert stub.was_told("object", bucket, key), key
    handing_service.send("PUT", f"/bucket/{bucket}", {"public": False})
    assert stub.was_told("bucket", bucket)


def test_public_answers_are_labelled_and_may_be_shared(handing_service: Api) -> None:
    bucket = handing_service.make_bucket("labelled", public=True)
    handing_service.upload(bucket, "k", cache_control="max-age=60")
    answer = handing_service.by(None).request("GET", f"/object/public/{bucket}/k")
    assert [label[0] for label in answer.headers["surrogate-key"].split(" ")] == ["t", "b", "o"]
    assert answer.headers["cache-control"] == "max-age=60, s-maxage=600"
    handing_service.send("PUT", f"/bucket/{bucket}", {"public": False})
    answer = handing_service.request("GET", f"/object/authenticated/{bucket}/k")
    assert ("surrogate-key" in answer.headers, answer.headers["cache-control"]) == (False, "max-age=60")
    refused = handing_service.by(None).request("GET", f"/object/public/{bucket}/k")
    assert (refused.status, refused.headers["cache-control"]) == (400, "no-store")
