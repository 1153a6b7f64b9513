"""The issuer's published keys: when they are asked for, how often, and what serves while the issuer is down."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from joserfc.jwk import RSAKey

from gateway.auth.bearer import TokenKeys, TokenVerifier
from gateway.auth.jwks import (
    MAX_DOCUMENT_BYTES,
    REFRESH_SECONDS,
    STALE_SECONDS,
    TTL_SECONDS,
    FetchFailed,
    PublishedKeys,
    fetch_document,
)
from gateway.auth.jwt import TokenRules
from gateway.errors import StorageError
from tests.unit.auth.test_jwt import GOOD, NOW, ROLES, SECRET, public, sign

OLD, NEW = RSAKey.generate_key(2048), RSAKey.generate_key(2048)
URL = "https://issuer.example/jwks"


class Issuer:
    def __init__(self, *keys):
        self.keys, self.asked, self.up = list(keys), 0, True

    async def fetch(self, url):
        assert url == URL
        self.asked += 1
        await asyncio.sleep(0)
        if not self.up:
            raise FetchFailed("down")
        return json.dumps({"keys": self.keys}).encode()


class Clock:
    def __init__(self):
        self.seconds = 1_000.0

    def __call__(self):
        return self.seconds


def judge(issuer, clock, *secrets):
    made = TokenVerifier(TokenKeys(secrets, (), URL), TokenRules(ROLES), clock=lambda: NOW, fetch=issuer.fetch)
    made._published = PublishedKeys(URL, issuer.fetch, monotonic=clock)
    return made


async def code_of(verifier, token):
    with pytest.raises(StorageError) as caught:
        await verifier.verify(token)
    return caught.value.code.name


async def test_any_number_of_askers_share_one_fetch():
    issuer = Issuer(public(OLD, kid="a"))
    verifier = judge(issuer, Clock())
    token = sign(GOOD, OLD, "RS256", kid="a")
    found = await asyncio.gather(*(verifier.verify(token) for _ in range(50)))
    assert {each.subject for each in found} == {"user-1"}
    assert issuer.asked == 1


async def test_nothing_is_fetched_for_garbage_for_a_secret_or_for_an_algorithm_nobody_has():
    issuer = Issuer(public(OLD, kid="a"))
    verifier = judge(issuer, Clock(), SECRET)
    assert await verifier.verify(sign(GOOD))
    for token in ("", "a.b.c", sign(GOOD, "x" * 40), sign(GOOD, "x" * 40, kid="a"), "e30.e30.AA"):
        assert await code_of(verifier, token) == "InvalidToken"
    assert issuer.asked == 0


async def test_unknown_kid_asks_again_at_a_limited_rate():
    issuer, clock = Issuer(public(OLD, kid="a")), Clock()
    verifier = judge(issuer, clock)
    assert await verifier.verify(sign(GOOD, OLD, "RS256", kid="a"))
    for number in range(20):
        assert await code_of(verifier, sign(GOOD, NEW, "RS256", kid=f"forged-{number}")) == "InvalidToken"
    assert issuer.asked == 1
    issuer.keys.append(public(NEW, kid="b"))
    clock.seconds += REFRESH_SECONDS
    assert await verifier.verify(sign(GOOD, NEW, "RS256", kid="b"))
    assert issuer.asked == 2


async def test_withdrawn_key_is_refused_within_a_minute_though_its_token_is_remembered():
    issuer, clock = Issuer(public(OLD, kid="a"), public(NEW, kid="b")), Clock()
    verifier = judge(issuer, clock)
    token = sign(GOOD, OLD, "RS256", kid="a")
    assert await verifier.verify(token)
    del issuer.keys[0]
    assert await verifier.verify(token)
    clock.seconds += TTL_SECONDS
    assert await code_of(verifier, token) == "InvalidToken"


async def test_last_keys_serve_while_the_issuer_is_down_but_not_for_ever():
    issuer, clock = Issuer(public(OLD, kid="a")), Clock()
    verifier = judge(issuer, clock)
    token = sign(GOOD, OLD, "RS256", kid="a")
    assert await verifier.verify(token)
    issuer.up = False
    clock.seconds += TTL_SECONDS + 1
    for _ in range(5):
        assert await verifier.verify(token)
    assert issuer.asked == 2
    clock.seconds += STALE_SECONDS
    assert await code_of(verifier, token) == "ServiceUnavailable"


async def test_issuer_that_was_never_up_is_a_retryable_failure_asked_at_a_limited_rate():
    issuer, clock = Issuer(public(OLD, kid="a")), Clock()
    issuer.up = False
    verifier = judge(issuer, clock)
    token = sign(GOOD, OLD, "RS256", kid="a")
    for _ in range(5):
        assert await code_of(verifier, token) == "ServiceUnavailable"
    assert issuer.asked == 1
    issuer.up = True
    clock.seconds += REFRESH_SECONDS
    assert await verifier.verify(token)


async def test_asker_that_goes_away_does_not_take_the_keys_from_the_others():
    issuer = Issuer(public(OLD, kid="a"))
    verifier = judge(issuer, Clock())
    token = sign(GOOD, OLD, "RS256", kid="a")
    first, second = (asyncio.create_task(verifier.verify(token)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).subject == "user-1"


async def test_published_secret_is_never_used():
    issuer = Issuer({"kty": "oct", "kid": "a", "k": "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg"})
    assert await code_of(judge(issuer, Clock()), sign(GOOD, "x" * 32, kid="a")) == "InvalidToken"
    assert issuer.asked == 0


@pytest.mark.parametrize(
    "document", [b"", b"[]", b'{"keys": 1}', b"[" * 100_000, b'{"keys":[' + b"{}," * 100 + b"{}]}"]
)
async def test_document_that_is_no_jwks_is_a_failure_of_the_issuer(document):
    async def fetch(url):
        return document

    with pytest.raises(StorageError) as caught:
        await PublishedKeys(URL, fetch).keys("a")
    assert caught.value.code.name == "ServiceUnavailable"


@pytest.fixture
def server():
    answers = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, headers, body = answers[self.path]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}", answers
    listening.shutdown()
    thread.join()
    listening.server_close()


async def test_fetch_takes_the_document_and_follows_no_redirect(server):
    url, answers = server
    answers["/keys?a=1"] = (200, {}, b"document")
    answers["/elsewhere"] = (302, {"location": f"{url}/keys?a=1"}, b"")
    assert await fetch_document(f"{url}/keys?a=1") == b"document"
    with pytest.raises(FetchFailed, match="302"):
        await fetch_document(f"{url}/elsewhere")


async def test_fetch_refuses_a_document_that_is_too_large(server):
    url, answers = server
    answers["/keys"] = (200, {}, b"x" * (MAX_DOCUMENT_BYTES + 1))
    with pytest.raises(FetchFailed, match="too large"):
        await fetch_document(f"{url}/keys")


async def test_fetch_of_a_closed_port_fails():
    with pytest.raises(FetchFailed):
        await fetch_document("http://127.0.0.1:1/keys")
