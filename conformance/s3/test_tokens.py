"""Users on the S3 door: session tokens, temporary credentials, and policies that hold whatever a user came in by."""

import json
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from conformance import forms
from conformance.conftest import destroy_bucket
from conformance.rawhttp import RawClient
from conformance.target import Target

TENANT = "default"
ROLE_ARN = "arn:aws:iam::000000000000:role/"
CLAIMS = {"app_metadata": {"plan": "paid"}, "email": "a@example.com"}


@dataclass(frozen=True)
class Keys:
    """What a client signs with."""

    access_key_id: str
    secret: str
    token: str | None = None

    @classmethod
    def of(cls, answer: Any) -> "Keys":
        given = answer["Credentials"]
        return cls(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


def client(target: Target, keys: Keys, service: str = "s3") -> Any:
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, signature_version="v4")
    return boto3.client(
        service,
        endpoint_url=target.endpoint_url,
        region_name=target.region,
        aws_access_key_id=keys.access_key_id,
        aws_secret_access_key=keys.secret,
        aws_session_token=keys.token,
        verify=target.ca_bundle or True,
        config=config if service == "s3" else Config(retries={"total_max_attempts": 1}),
    )


def outcome(call: Callable[..., Any], **arguments: Any) -> str:
    """``200``, or the code of the refusal."""
    try:
        answer = call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    if "Body" in answer:
        answer["Body"].close()
    return "ok"


@pytest.fixture(scope="module")
def root(target: Target) -> Keys:
    return Keys(target.access_key_id, target.secret_access_key)


@pytest.fixture(scope="module")
def user() -> str:
    return str(uuid.uuid4())


@pytest.fixture(scope="module")
def jwt(tokens: Callable[..., str], user: str) -> str:
    return tokens("--role", "authenticated", "--subject", user, "--claims", json.dumps(CLAIMS))


@pytest.fixture(scope="module")
def anon_key(tokens: Callable[..., str]) -> str:
    return tokens("--anon-key")


@pytest.fixture(scope="module")
def guarded(s3: Any, sql: Callable[[str], None], fresh_name: Callable[[], str], user: str) -> Iterator[str]:
    """A bucket with policies as Supabase's users write them."""
    name = fresh_name()
    s3.create_bucket(Bucket=name)
    for key in (f"{user}/seed", "shared/readme", "other-user/secret"):
        s3.put_object(Bucket=name, Key=key, Body=b"x")
    sql(f"""
        create policy "{name} see" on storage.buckets for select to authenticated using (id = '{name}');
        create policy "{name} own folder" on storage.objects for all to authenticated
            using (bucket_id = '{name}' and (storage.foldername(name))[1] = (select auth.uid())::text
                and (select auth.role()) = 'authenticated'
                and (select auth.jwt() -> 'app_metadata' ->> 'plan') = 'paid')
            with check (bucket_id = '{name}' and (storage.foldername(name))[1] = (select auth.uid())::text
                and (select auth.jwt() ->> 'email') = 'a@example.com');
        create policy "{name} shared" on storage.objects for select to authenticated
            using (bucket_id = '{name}' and (storage.foldername(name))[1] = 'shared'
                and (select storage.operation()) in ('storage.s3.object.get', 'storage.s3.object.list_v2'));
    """)
    yield name
    sql(f"""
        drop policy "{name} see" on storage.buckets;
        drop policy "{name} own folder" on storage.objects;
        drop policy "{name} shared" on storage.objects;
    """)
    destroy_bucket(s3, name)


def assume_with_token(target: Target, jwt: str, role: str = "authenticated", **more: Any) -> Any:
    nobody = client(target, Keys("nobody", "nothing"), "sts")
    return nobody.assume_role_with_web_identity(
        RoleArn=f"{ROLE_ARN}{role}", RoleSessionName="session", WebIdentityToken=jwt, **more
    )


def session_token(target: Target, root: Keys, anon_key: str, jwt: str, key: Keys) -> Keys:
    return Keys(TENANT, anon_key, jwt)


def web_identity(target: Target, root: Keys, anon_key: str, jwt: str, key: Keys) -> Keys:
    return Keys.of(assume_with_token(target, jwt))


def stored_key(target: Target, root: Keys, anon_key: str, jwt: str, key: Keys) -> Keys:
    return key


def session_of_key(target: Target, root: Keys, anon_key: str, jwt: str, key: Keys) -> Keys:
    return Keys.of(client(target, key, "sts").get_session_token())


def own_role_of_key(target: Target, root: Keys, anon_key: str, jwt: str, key: Keys) -> Keys:
    sts = client(target, key, "sts")
    return Keys.of(sts.assume_role(RoleArn=f"{ROLE_ARN}authenticated", RoleSessionName="session"))


DOORS = [session_token, web_identity, stored_key, session_of_key, own_role_of_key]


@pytest.fixture(scope="module")
def key(keys: Callable[..., dict[str, str]], user: str) -> Keys:
    made = keys("--role", "authenticated", "--subject", user, "--claims", json.dumps(CLAIMS))
    return Keys(made["access_key_id"], made["secret_access_key"])


@pytest.fixture(params=DOORS, ids=lambda door: door.__name__)
def door(request: Any, target: Target, root: Keys, anon_key: str, jwt: str, key: Keys) -> Keys:
    """The same user by each way in."""
    found: Keys = request.param(target, root, anon_key, jwt, key)
    return found


def test_policy_holds_the_same_by_every_door(target: Target, door: Keys, guarded: str, bucket: str, user: str) -> None:
    s3 = client(target, door)
    own, shared, other = f"{user}/file", "shared/readme", "other-user/secret"
    # Other tests let authenticated users see buckets of theirs; nothing does so for this one.
    seen = [each["Name"] for each in s3.list_buckets()["Buckets"]]
    assert guarded in seen
    assert bucket not in seen
    assert outcome(s3.put_object, Bucket=guarded, Key=own, Body=b"mine") == "ok"
    listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket=guarded)["Contents"]]
    assert listed == sorted([own, f"{user}/seed", shared])
    # storage.operation() lets list_v2 see the shared folder, and ListObjects not
    assert shared not in [entry["Key"] for entry in s3.list_objects(Bucket=guarded)["Contents"]]
    assert outcome(s3.get_object, Bucket=guarded, Key=own) == "ok"
    assert outcome(s3.get_object, Bucket=guarded, Key=shared) == "ok"
    assert outcome(s3.get_object, Bucket=guarded, Key=other) == "NoSuchKey"
    assert outcome(s3.put_object, Bucket=guarded, Key=shared, Body=b"") == "AccessDenied"
    assert outcome(s3.put_object, Bucket=guarded, Key=other, Body=b"") == "AccessDenied"
    assert outcome(s3.copy_object, Bucket=guarded, Key=f"{user}/copy", CopySource=f"{guarded}/{other}") == "NoSuchKey"
    assert outcome(s3.delete_object, Bucket=guarded, Key=own) == "ok"
    upload = s3.create_multipart_upload(Bucket=guarded, Key=own)["UploadId"]
    part = s3.upload_part(Bucket=guarded, Key=own, UploadId=upload, PartNumber=1, Body=b"part")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    assert (
        outcome(s3.complete_multipart_upload, Bucket=guarded, Key=own, UploadId=upload, MultipartUpload=parts) == "ok"
    )
    assert outcome(s3.create_multipart_upload, Bucket=guarded, Key=other) == "AccessDenied"


def test_presigned_url_is_the_user_who_signed_it(
    target: Target, raw: RawClient, door: Keys, guarded: str, user: str
) -> None:
    s3 = client(target, door)
    for key, status in ((f"{user}/seed", 200), ("shared/readme", 200), ("other-user/secret", 404)):
        url = s3.generate_presigned_url("get_object", {"Bucket": guarded, "Key": key})
        path = url.removeprefix(target.endpoint_url)
        assert raw.anonymous("GET", path).status == status
    for key, status in ((f"{user}/put", 200), ("other-user/put", 403)):
        url = s3.generate_presigned_url("put_object", {"Bucket": guarded, "Key": key})
        assert raw.anonymous("PUT", url.removeprefix(target.endpoint_url), body=b"x").status == status


def test_form_is_of_the_user_who_signed_its_policy(
    target: Target, raw: RawClient, door: Keys, guarded: str, user: str
) -> None:
    s3 = client(target, door)
    for key, status in ((f"{user}/form", 204), ("other-user/form", 403)):
        form = s3.generate_presigned_post(guarded, key)
        assert forms.post(raw, f"/{guarded}", forms.body(form["fields"], b"content")).status == status


# session tokens


def test_session_token_needs_the_anon_key(target: Target, jwt: str) -> None:
    assert outcome(client(target, Keys(TENANT, "x" * 40, jwt)).list_buckets) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("name", ["other", "testkey", "ASRL", "DEFAULT"])
def test_session_token_beside_another_key_id_is_refused(target: Target, anon_key: str, jwt: str, name: str) -> None:
    assert outcome(client(target, Keys(name, anon_key, jwt)).list_buckets) == "InvalidToken"


def test_stored_key_with_somebodys_token_is_refused(target: Target, root: Keys, jwt: str) -> None:
    assert outcome(client(target, Keys(root.access_key_id, root.secret, jwt)).list_buckets) == "InvalidToken"


@pytest.mark.parametrize("change", ["", "x", "{}.x", "x{}", "{}x", "a.b.c", "e30.e30."])
def test_token_that_is_none_is_refused(target: Target, anon_key: str, jwt: str, change: str) -> None:
    token = change.format(jwt) or "-"
    assert outcome(client(target, Keys(TENANT, anon_key, token)).list_buckets) == "InvalidToken"


def test_expired_token_is_refused(target: Target, anon_key: str, tokens: Callable[..., str]) -> None:
    short = tokens("--expires-in", "1")
    keys = Keys(TENANT, anon_key, short)
    assert outcome(client(target, keys).list_buckets) == "ok"
    time.sleep(12)  # one second, and the leeway for clocks
    assert outcome(client(target, keys).list_buckets) == "ExpiredToken"
    with pytest.raises(ClientError) as caught:
        assume_with_token(target, short)
    assert caught.value.response["Error"]["Code"] == "ExpiredTokenException"


def test_answer_to_a_wrong_signature_does_not_repeat_the_token(target: Target, jwt: str) -> None:
    with pytest.raises(ClientError) as caught:
        client(target, Keys(TENANT, "x" * 40, jwt)).list_buckets()
    assert jwt not in json.dumps(caught.value.response)


def test_token_without_a_role_is_anonymous(target: Target, anon_key: str, tokens: Callable[..., str]) -> None:
    s3 = client(target, Keys(TENANT, anon_key, tokens("--role", "anon")))
    assert outcome(s3.create_bucket, Bucket="of-nobody") == "AccessDenied"


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_token_with_the_subject_of_an_account_is_not_that_account(
    target: Target,
    anon_key: str,
    tokens: Callable[..., str],
    keys: Callable[..., dict[str, str]],
    fresh_name: Any,
    role: str,
) -> None:
    account = f"account-{uuid.uuid4()}"
    made = keys("--role", "s3_account", "--subject", account)
    owner = client(target, Keys(made["access_key_id"], made["secret_access_key"]))
    name = fresh_name()
    owner.create_bucket(Bucket=name)
    try:
        owner.put_object(Bucket=name, Key="secret", Body=b"x")
        s3 = client(target, Keys(TENANT, anon_key, tokens("--role", role, "--subject", account)))
        assert outcome(s3.get_object, Bucket=name, Key="secret") in ("AccessDenied", "NoSuchKey")
        assert outcome(s3.list_objects_v2, Bucket=name) == "AccessDenied" or role == "authenticated"
        assert outcome(s3.put_object, Bucket=name, Key="mine", Body=b"") == "AccessDenied"
        assert outcome(s3.delete_object, Bucket=name, Key="secret") == "AccessDenied"
        assert [each["Key"] for each in owner.list_objects_v2(Bucket=name)["Contents"]] == ["secret"]
    finally:
        destroy_bucket(owner, name)


# STS


def test_boto3s_own_web_identity_provider(target: Target, jwt: str, guarded: str, user: str, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(f"{jwt}\n")
    script = """
import boto3, sys
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
s3.put_object(Bucket=sys.argv[1], Key=sys.argv[2], Body=b"x")
print(sorted(each["Key"] for each in s3.list_objects_v2(Bucket=sys.argv[1])["Contents"]))
print(boto3.client("sts").get_caller_identity()["UserId"])
print(boto3.session.Session().get_credentials().method)
"""
    environment = {
        name: value
        for name, value in target.environment().items()
        if name not in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    }
    environment |= {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token_file),
        "AWS_ROLE_ARN": f"{ROLE_ARN}authenticated",
        "AWS_ROLE_SESSION_NAME": "provider",
        "AWS_ENDPOINT_URL_STS": target.endpoint_url,
        "AWS_ENDPOINT_URL_S3": target.endpoint_url,
    }
    done = subprocess.run(
        [sys.executable, "-c", script, guarded, f"{user}/provider"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    keys, identity, method = done.stdout.splitlines()
    assert f"{user}/provider" in keys
    assert (identity, method) == (user, "assume-role-with-web-identity")


def test_web_identity_gives_only_the_role_of_the_token(target: Target, jwt: str) -> None:
    for role in ("service_role", "anon", "admin"):
        with pytest.raises(ClientError) as caught:
            assume_with_token(target, jwt, role)
        assert caught.value.response["Error"]["Code"] == "AccessDenied"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_GetCallerIdentity_names_the_key_or_the_user(target: Target, root: Keys, jwt: str, user: str) -> None:
    assert client(target, root, "sts").get_caller_identity()["Arn"].endswith(f":user/{root.access_key_id}")
    session = Keys.of(assume_with_token(target, jwt))
    assert client(target, session, "sts").get_caller_identity()["UserId"] == user


@pytest.mark.parametrize("seconds", [900, 43_200])
def test_duration_is_kept(target: Target, jwt: str, seconds: int) -> None:
    answer = assume_with_token(target, jwt, DurationSeconds=seconds)
    left = answer["Credentials"]["Expiration"].timestamp() - time.time()
    assert seconds - 60 < left <= seconds + 1


@pytest.mark.parametrize("seconds", ["899", "43201", "-1", "1e3", "", "9" * 40, "0x384", "\u0663600"])
def test_duration_out_of_bounds_is_refused(raw: RawClient, jwt: str, seconds: str) -> None:
    answer = sts_form(
        raw, RoleArn=f"{ROLE_ARN}authenticated", RoleSessionName="ab", WebIdentityToken=jwt, DurationSeconds=seconds
    )
    assert (answer.status, answer_code(answer)) == (400, "ValidationError")


def sts_form(
    raw: RawClient, action: str = "AssumeRoleWithWebIdentity", version: str = "2011-06-15", **parameters: str
) -> Any:
    content = urlencode({"Action": action, "Version": version, **parameters}).encode()
    return raw.anonymous("POST", "/", {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}, content)


def answer_code(answer: Any) -> str | None:
    found = re.search(rb"<Code>(.*?)</Code>", answer.body)
    return found.group(1).decode() if found else None


FORM = {"RoleArn": f"{ROLE_ARN}a", "RoleSessionName": "ab", "WebIdentityToken": "x"}


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, "ValidationError"),
        ({"RoleArn": FORM["RoleArn"]}, "ValidationError"),
        ({**FORM, "RoleArn": "authenticated"}, "ValidationError"),
        ({**FORM, "RoleSessionName": "a"}, "ValidationError"),
        ({**FORM, "RoleSessionName": "a b"}, "ValidationError"),
        (FORM, "InvalidIdentityToken"),
        ({**FORM, "WebIdentityToken": "x" * 20_000}, "InvalidIdentityToken"),
        ({**FORM, "Tags.member.1.Key": "k"}, "ValidationError"),
        ({**FORM, "PolicyArns.member.1.arn": "a"}, "ValidationError"),
        ({**FORM, "Policy": "{}"}, "MalformedPolicyDocument"),
        ({**FORM, "Policy": "x" * 2049}, "PackedPolicyTooLarge"),
        ({"action": "GetFederationToken"}, "InvalidAction"),
        ({"version": "2010-01-01"}, "InvalidAction"),
        ({"RoleArn": "\0"}, "ValidationError"),
    ],
)
def test_request_that_is_not_understood_is_refused(raw: RawClient, parameters: dict[str, str], code: str) -> None:
    answer = sts_form(raw, **parameters)
    assert (answer.status, answer_code(answer)) == (400, code)
    assert answer.headers["content-type"] == "text/xml"


@pytest.mark.parametrize("action", ["AssumeRole", "GetSessionToken", "GetCallerIdentity"])
def test_unsigned_request_for_a_keys_credentials_is_refused(raw: RawClient, action: str) -> None:
    more = {"RoleArn": f"{ROLE_ARN}anon", "RoleSessionName": "ab"} if action == "AssumeRole" else {}
    answer = sts_form(raw, action, **more)
    assert (answer.status, answer_code(answer)) == (403, "MissingAuthenticationToken")


@pytest.mark.parametrize(
    "content", [b"Action", b"Action=%ff", b"&&&", b"Action=a&Action=a", b"a=1&" * 100, b"x" * 70_000]
)
def test_body_that_is_no_form_is_refused(raw: RawClient, content: bytes) -> None:
    answer = raw.anonymous("POST", "/", {"Content-Type": "application/x-www-form-urlencoded"}, content)
    assert answer.status == 400
    assert b"<ErrorResponse" in answer.body


def test_GET_form_is_answered_too(raw: RawClient, target: Target, root: Keys, jwt: str) -> None:
    query = urlencode(
        {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": f"{ROLE_ARN}authenticated",
            "RoleSessionName": "ab",
            "WebIdentityToken": jwt,
        }
    )
    answer = raw.anonymous("GET", f"/?{query}")
    assert answer.status == 200
    assert b"<SessionToken>" in answer.body
    url = client(target, root, "sts").generate_presigned_url("get_caller_identity", HttpMethod="GET")
    assert raw.anonymous("GET", url.removeprefix(target.endpoint_url.rstrip("/"))).status == 200


@pytest.mark.parametrize(
    ("signed_for", "path", "code"),
    [
        ("sts", "/", "AuthorizationHeaderMalformed"),
        ("s3", "/?Action=GetCallerIdentity&Version=2011-06-15", "IncompleteSignature"),
        ("sts", "/?Action=GetCallerIdentity&Version=2011-06-15", None),
    ],
)
def test_signature_is_for_one_service(
    target: Target, root: Keys, raw: RawClient, signed_for: str, path: str, code: str | None
) -> None:
    request = AWSRequest("GET", target.endpoint_url + path, {"x-amz-content-sha256": sha256(b"").hexdigest()})
    SigV4Auth(Credentials(root.access_key_id, root.secret), signed_for, target.region).add_auth(request)
    answer = raw.anonymous("GET", path, dict(request.headers.items()))
    assert (answer.status, answer_code(answer)) == (200 if code is None else 400, code)


def test_temporary_credentials_make_no_others(target: Target, root: Keys, jwt: str) -> None:
    for session in (Keys.of(client(target, root, "sts").get_session_token()), Keys.of(assume_with_token(target, jwt))):
        sts = client(target, session, "sts")
        assert outcome(sts.get_session_token) == "AccessDenied"
        assert outcome(sts.assume_role, RoleArn=f"{ROLE_ARN}service_role", RoleSessionName="ab") == "AccessDenied"


def test_service_role_assumes_a_user_and_a_user_nobody_else(
    target: Target, root: Keys, key: Keys, guarded: str, bucket: str, user: str
) -> None:
    sts = client(target, root, "sts")
    session = sts.assume_role(RoleArn=f"{ROLE_ARN}authenticated", RoleSessionName="ab", SourceIdentity=user)
    assert client(target, Keys.of(session), "sts").get_caller_identity()["UserId"] == user
    seen = [each["Name"] for each in client(target, Keys.of(session)).list_buckets()["Buckets"]]
    assert guarded in seen
    assert bucket not in seen
    for role in ("service_role", "anon", "rowlock_engine", "postgres"):
        assert (
            outcome(client(target, key, "sts").assume_role, RoleArn=f"{ROLE_ARN}{role}", RoleSessionName="ab")
            == "AccessDenied"
        )


def test_temporary_credentials_that_were_changed_are_refused(target: Target, root: Keys) -> None:
    given = Keys.of(client(target, root, "sts").get_session_token())
    other = Keys.of(client(target, root, "sts").get_session_token())
    assert given.token is not None
    middle = len(given.token) // 2
    flipped = given.token[:middle] + ("A" if given.token[middle] != "A" else "B") + given.token[middle + 1 :]
    assert outcome(client(target, Keys(given.access_key_id, given.secret, flipped)).list_buckets) == "InvalidToken"
    assert outcome(client(target, Keys(other.access_key_id, other.secret, given.token)).list_buckets) == "InvalidToken"
    assert outcome(client(target, Keys(given.access_key_id, given.secret)).list_buckets) == "InvalidAccessKeyId"
    wrong = Keys(given.access_key_id, other.secret, given.token)
    assert outcome(client(target, wrong).list_buckets) == "SignatureDoesNotMatch"


def test_revoked_key_ends_its_temporary_credentials(
    target: Target, keys: Callable[..., dict[str, str]], server: Any
) -> None:
    made = keys()
    parent = Keys(made["access_key_id"], made["secret_access_key"])
    session = client(target, Keys.of(client(target, parent, "sts").get_session_token()))
    assert outcome(session.list_buckets) == "ok"
    server.run("keys", "revoke", parent.access_key_id)
    deadline = time.monotonic() + 10
    while outcome(session.list_buckets) == "ok" and time.monotonic() < deadline:
        time.sleep(0.5)
    assert outcome(session.list_buckets) == "InvalidAccessKeyId"


# session policies


def narrowed(target: Target, root: Keys, *statements: dict[str, Any]) -> Any:
    policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    sts = client(target, root, "sts")
    return client(
        target,
        Keys.of(sts.assume_role(RoleArn=f"{ROLE_ARN}service_role", RoleSessionName="ab", Policy=policy)),
    )


def allow(actions: Any, *resources: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": [f"arn:aws:s3:::{each}" for each in resources], **more}


def test_session_policy_narrows_every_operation(
    s3: Any, target: Target, root: Keys, bucket: str, other_bucket: str
) -> None:
    for key in ("team/a", "team/b", "other/a"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.put_object(Bucket=other_bucket, Key="secret", Body=b"x")
    team = narrowed(
        target,
        root,
        allow(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], f"{bucket}/team/*"),
        allow("s3:ListBucket", bucket, Condition={"StringLike": {"s3:prefix": ["team/*"]}}),
    )
    inside, outside = {"Bucket": bucket, "Key": "team/a"}, {"Bucket": bucket, "Key": "other/a"}
    assert outcome(team.get_object, **inside) == "ok"
    assert outcome(team.put_object, **inside, Body=b"y") == "ok"
    assert outcome(team.list_objects_v2, Bucket=bucket, Prefix="team/") == "ok"
    assert outcome(team.copy_object, Bucket=bucket, Key="team/c", CopySource=f"{bucket}/team/b") == "ok"
    denied = [
        outcome(team.get_object, **outside),
        outcome(team.put_object, **outside, Body=b""),
        outcome(team.delete_object, **outside),
        outcome(team.list_objects_v2, Bucket=bucket),
        outcome(team.list_objects_v2, Bucket=bucket, Prefix="team"),
        outcome(team.list_objects, Bucket=bucket, Prefix="other/"),
        outcome(team.list_object_versions, Bucket=bucket, Prefix="team/"),
        outcome(team.list_buckets),
        outcome(team.copy_object, Bucket=bucket, Key="team/c", CopySource=f"{bucket}/other/a"),
        outcome(team.copy_object, Bucket=bucket, Key="team/c", CopySource=f"{other_bucket}/secret"),
        outcome(team.copy_object, Bucket=bucket, Key="other/c", CopySource=f"{bucket}/team/a"),
        outcome(team.get_object_tagging, **inside),
        outcome(team.put_object, **inside, Body=b"", Tagging="a=b"),
        outcome(team.create_multipart_upload, **outside),
        outcome(team.delete_bucket, Bucket=bucket),
        outcome(team.create_bucket, Bucket=f"{bucket}-x"),
        outcome(team.get_bucket_location, Bucket=bucket),
        outcome(team.get_object, Bucket=other_bucket, Key="secret"),
    ]
    assert set(denied) == {"AccessDenied"}
    with pytest.raises(ClientError) as caught:
        team.head_object(**outside)
    assert caught.value.response["Error"]["Code"] == "403"
    assert s3.get_object(**outside)["Body"].read() == b"x"


def test_session_policy_judges_each_object_of_DeleteObjects(s3: Any, target: Target, root: Keys, bucket: str) -> None:
    for key in ("team/a", "other/a"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    team = narrowed(target, root, allow("s3:DeleteObject", f"{bucket}/team/*"))
    objects = [{"Key": "team/a"}, {"Key": "other/a"}, {"Key": "team/a", "VersionId": "null"}]
    answer = team.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert [each["Key"] for each in answer["Deleted"]] == ["team/a"]
    refused = [(each["Key"], each.get("VersionId"), each["Code"]) for each in answer["Errors"]]
    assert refused == [("other/a", None, "AccessDenied"), ("team/a", "null", "AccessDenied")]
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["other/a"]


def test_session_policy_gives_no_right_the_parent_lacks(target: Target, jwt: str, guarded: str, user: str) -> None:
    policy = json.dumps({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    session = client(target, Keys.of(assume_with_token(target, jwt, Policy=policy)))
    assert outcome(session.get_object, Bucket=guarded, Key=f"{user}/seed") == "ok"
    assert outcome(session.get_object, Bucket=guarded, Key="other-user/secret") == "NoSuchKey"
    nothing = json.dumps({"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]})
    session = client(target, Keys.of(assume_with_token(target, jwt, Policy=nothing)))
    assert outcome(session.get_object, Bucket=guarded, Key=f"{user}/seed") == "AccessDenied"


def test_session_policy_binds_presigned_urls_and_forms(
    s3: Any, target: Target, root: Keys, raw: RawClient, bucket: str
) -> None:
    s3.put_object(Bucket=bucket, Key="other/a", Body=b"x")
    team = narrowed(target, root, allow("s3:*", f"{bucket}/team/*"))
    url = team.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "other/a"})
    assert raw.anonymous("GET", url.removeprefix(target.endpoint_url)).status == 403
    for key, status in (("team/form", 204), ("other/form", 403)):
        form = team.generate_presigned_post(bucket, key)
        assert forms.post(raw, f"/{bucket}", forms.body(form["fields"], b"content")).status == status
