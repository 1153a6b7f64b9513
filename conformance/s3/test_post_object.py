"""PostObject: uploads by a browser's form, signed by a policy."""

import base64
import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from conformance import forms
from conformance.expect import exists, keys_of, read
from conformance.rawhttp import RawClient, RawResponse
from conformance.server import RunningServer
from conformance.target import Target

Post = Callable[..., RawResponse]


@pytest.fixture
def post(raw: RawClient, target: Target, bucket: str) -> Post:
    """Send a signed form for key ``k``: other fields, other conditions, another file."""

    def send(
        fields: dict[str, str] | None = None,
        file: bytes | None = b"content",
        *,
        conditions: list[Any] | None = None,
        key: str | None = "k",
        **options: Any,
    ) -> RawResponse:
        more = dict(fields or {})
        named = [{name: value} for name, value in more.items()] if conditions is None else conditions
        keyed = {"key": key} if key is not None else {}
        signing = {
            name: options.pop(name) for name in ("expires", "access_key_id", "secret_access_key") if name in options
        }
        auth = forms.signed(target, [{"bucket": bucket}, ["starts-with", "$key", ""], *named], **signing)
        return forms.post(raw, f"/{bucket}", forms.body({**keyed, **more, **auth}, file, **options))

    return send


def test_form_of_boto3(s3: Any, raw: RawClient, bucket: str) -> None:
    form = s3.generate_presigned_post(
        bucket, "up/${filename}", Fields={"acl": "private"}, Conditions=[{"acl": "private"}], ExpiresIn=60
    )
    answer = forms.post(raw, f"/{bucket}", forms.body(form["fields"], b"content", file_name="C:\\dir\\a b.txt"))
    assert (answer.status, answer.body) == (204, b"")
    assert read(s3, bucket, "up/a b.txt") == b"content"


def test_upload_in_three_phases_by_form_copy_and_lifecycle(s3: Any, raw: RawClient, bucket: str) -> None:
    """The classic form of a confirmed upload: what is not copied away from ``pending/`` expires."""
    rule = {"ID": "unconfirmed", "Status": "Enabled", "Filter": {"Prefix": "pending/"}, "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    form = s3.generate_presigned_post(
        bucket,
        "pending/1f0c",
        Fields={"x-amz-meta-username": "alice"},
        Conditions=[
            ["content-length-range", 1, 1000],
            ["starts-with", "$Content-Type", "image/"],
            ["eq", "$x-amz-meta-username", "alice"],
        ],
        ExpiresIn=60,
    )

    def send(file: bytes, **fields: str) -> tuple[int, str | None]:
        given = {
            "Content-Type": "image/png",
            **form["fields"],
            **{name.replace("_", "-"): fields[name] for name in fields},
        }
        answer = forms.post(raw, f"/{bucket}", forms.body(given, file))
        return answer.status, answer.code if answer.body else None

    assert send(b"x" * 1001) == (400, "EntityTooLarge")
    assert send(b"") == (400, "EntityTooSmall")
    assert send(b"png", Content_Type="text/html") == (403, "AccessDenied")
    assert send(b"png", x_amz_meta_username="bob") == (403, "AccessDenied")
    assert not exists(s3, bucket, "pending/1f0c")
    assert send(b"png") == (204, None)
    waiting = s3.head_object(Bucket=bucket, Key="pending/1f0c")
    assert 'rule-id="unconfirmed"' in waiting["Expiration"]
    s3.copy_object(Bucket=bucket, Key="avatars/1f0c", CopySource=f"{bucket}/pending/1f0c")
    s3.delete_object(Bucket=bucket, Key="pending/1f0c")
    live = s3.get_object(Bucket=bucket, Key="avatars/1f0c")
    assert (live["Body"].read(), live["ContentType"], live["Metadata"]) == (b"png", "image/png", {"username": "alice"})
    assert "Expiration" not in live
    assert keys_of(s3, bucket) == ["avatars/1f0c"]


def test_headers_and_tags_are_kept(s3: Any, post: Post, bucket: str) -> None:
    fields = {
        "Content-Type": "text/plain; charset=utf-8", "Cache-Control": "max-age=1", "Content-Disposition": "inline",
        "Content-Encoding": "gzip", "Expires": "tomorrow", "x-amz-meta-Colour": "green", "acl": "private",
        "tagging": "<Tagging><TagSet><Tag><Key>a b</Key><Value>1+2</Value></Tag></TagSet></Tagging>",
    }  # fmt: skip
    assert post(fields).status == 204
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["ContentType"] == "text/plain; charset=utf-8"
    assert (head["CacheControl"], head["ContentDisposition"]) == ("max-age=1", "inline")
    assert (head["ContentEncoding"], head["Metadata"]) == ("gzip", {"colour": "green"})
    assert head["ExpiresString"] == "tomorrow"
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "a b", "Value": "1+2"}]


def test_type_of_the_file_part_means_nothing(s3: Any, post: Post, bucket: str) -> None:
    assert post().status == 204
    assert s3.head_object(Bucket=bucket, Key="k")["ContentType"] == "binary/octet-stream"


@pytest.mark.parametrize("status", ["200", "201", "204", "404", "x"])
def test_success_action_status(post: Post, bucket: str, status: str) -> None:
    answer = post({"success_action_status": status})
    assert answer.status == (int(status) if status in {"200", "201"} else 204)
    etag = f'"{hashlib.md5(b"content", usedforsecurity=False).hexdigest()}"'
    assert answer.headers["ETag"] == etag
    assert answer.headers["Location"].endswith(f"/{bucket}/k")
    if status != "201":
        assert answer.body == b""
        return
    assert answer.headers["Content-Type"] == "application/xml"
    assert {element.tag: element.text for element in answer.xml} == {
        "Location": answer.headers["Location"], "Bucket": bucket, "Key": "k", "ETag": etag,
    }  # fmt: skip
    assert answer.xml.tag == "PostResponse"


@pytest.mark.parametrize("field", ["success_action_redirect", "redirect"])
def test_redirect(post: Post, bucket: str, field: str) -> None:
    etag = hashlib.md5(b"content", usedforsecurity=False).hexdigest()
    answer = post({field: "https://app.example.com/done?x=1#part"}, key="ä/k")
    assert (answer.status, answer.body) == (303, b"")
    expected = f"https://app.example.com/done?x=1&bucket={bucket}&key=%C3%A4%2Fk&etag=%22{etag}%22#part"
    assert answer.headers["Location"] == expected


@pytest.mark.parametrize("place", ["javascript:alert(1)", "/relative", "", "http://", "http://[", "https://a\r\nx: y"])
def test_redirect_to_no_place_is_ignored(post: Post, place: str) -> None:
    answer = post({"success_action_redirect": place})
    assert answer.status == 204


def test_large_file_is_kept_whole(s3: Any, post: Post, bucket: str) -> None:
    file = bytes(range(256)) * 20_000 + b"\r\n--" + forms.BOUNDARY.encode()[:-1] + b"\r\n--"
    assert post(file=file).status == 204
    assert read(s3, bucket, "k") == file


def test_empty_file(s3: Any, post: Post, bucket: str) -> None:
    assert post(file=b"").status == 204
    assert read(s3, bucket, "k") == b""


def test_fields_after_the_file_are_ignored(s3: Any, post: Post, bucket: str) -> None:
    answer = post(after=[("key", "other"), ("submit", "Upload"), ("file", "second")])
    assert answer.status == 204
    assert (exists(s3, bucket, "other"), read(s3, bucket, "k")) == (False, b"content")


@pytest.mark.parametrize(
    ("bounds", "code"),
    [
        ((0, 6), "EntityTooLarge"),
        ((8, 9), "EntityTooSmall"),
        ((7, 7), None),
        ((0, 7), None),
        ((7, 1 << 40), None),
    ],
)
def test_content_length_range(s3: Any, post: Post, bucket: str, bounds: tuple[int, int], code: str | None) -> None:
    answer = post(conditions=[["content-length-range", *bounds]])
    assert answer.refusal() == ((204, None) if code is None else (400, code))
    assert exists(s3, bucket, "k") is (code is None)


@pytest.mark.parametrize(
    ("fields", "conditions", "text"),
    [
        ({"acl": "private"}, [], "Extra input fields: acl"),
        ({"x-amz-meta-a": "1", "Content-Type": "a/b"}, [], "Extra input fields: x-amz-meta-a, content-type"),
        ({"acl": "public-read"}, [{"acl": "private"}], "Policy Condition failed"),
        ({}, [{"acl": "private"}], "Policy Condition failed"),
        ({}, [["starts-with", "$key", "up/"]], "Policy Condition failed"),
        ({}, [["eq", "$key", "K"]], "Policy Condition failed"),
        ({}, [{"bucket": "another"}], "Policy Condition failed"),
        ({"bucket": "another"}, [["starts-with", "$bucket", ""]], "Policy Condition failed"),
    ],
)
def test_every_condition_counts(
    s3: Any, post: Post, bucket: str, fields: dict[str, str], conditions: list[Any], text: str
) -> None:
    answer = post(fields, conditions=conditions)
    assert answer.refusal() == (403, "AccessDenied")
    assert text in answer.xml.findtext("Message")
    assert not exists(s3, bucket, "k")


def test_fields_a_policy_need_not_name(post: Post) -> None:
    assert post({"x-ignore-me": "1"}, conditions=[]).status == 204


def test_expired_policy(post: Post) -> None:
    answer = post(expires=timedelta(seconds=-1))
    assert answer.refusal() == (403, "AccessDenied")
    assert answer.xml.findtext("Message") == "Invalid according to Policy: Policy expired."


def test_file_name_is_expanded_before_the_policy_is_asked(s3: Any, post: Post, bucket: str) -> None:
    conditions = [["starts-with", "$key", "up/"], ["starts-with", "$x-amz-meta-name", ""]]
    fields = {"x-amz-meta-name": "it is ${filename}"}
    assert post(fields, conditions=conditions, key="up/${filename}", file_name="a.txt").status == 204
    assert s3.head_object(Bucket=bucket, Key="up/a.txt")["Metadata"] == {"name": "it is a.txt"}
    for name in ("../up/a", "a/../../b"):
        assert post(fields, conditions=conditions, key="${filename}", file_name=name).refusal() == (403, "AccessDenied")


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"secret_access_key": "wrong"}, 403, "SignatureDoesNotMatch"),
        ({"access_key_id": "AKIANOBODY"}, 403, "InvalidAccessKeyId"),
        ({"key": None}, 400, "InvalidArgument"),
        ({"key": ""}, 400, "InvalidArgument"),
        ({"key": "k" * 1025}, 400, "KeyTooLongError"),
        ({"file": None}, 400, "InvalidArgument"),
        ({"fields": {"tagging": "<Tagging"}}, 400, "MalformedXML"),
        ({"fields": {"x-amz-meta-a": "1\r\nset-cookie: x"}}, 400, "InvalidArgument"),
        ({"fields": {"x-amz-meta-a": "v" * 2048}}, 400, "MetadataTooLarge"),
        ({"fields": {"x-amz-meta-a b": "v"}}, 400, "InvalidArgument"),
        ({"fields": {"x-amz-storage-class": "NONE"}}, 400, "InvalidStorageClass"),
        ({"fields": {"x-amz-security-token": "t"}}, 400, "InvalidToken"),
        ({"fields": {"x-ignore-a": "v" * 21_000}}, 400, "MaxPostPreDataLengthExceeded"),
    ],
)
def test_refused_form(s3: Any, post: Post, bucket: str, options: dict[str, Any], status: int, code: str) -> None:
    assert post(**options).refusal() == (status, code)
    assert not exists(s3, bucket, "k")


def test_field_given_twice(raw: RawClient, target: Target, bucket: str) -> None:
    auth = forms.signed(target, [{"bucket": bucket}, ["starts-with", "$key", ""]])
    content = forms.body([("key", "a"), ("Key", "b"), *auth.items()], b"content")
    assert forms.post(raw, f"/{bucket}", content).refusal() == (400, "InvalidArgument")


def test_checksums_are_verified_and_kept(s3: Any, post: Post, bucket: str) -> None:
    digest = base64.b64encode(hashlib.sha256(b"content").digest()).decode()
    assert post({"x-amz-checksum-sha256": digest}, conditions=[]).status == 204
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumSHA256"] == digest
    assert post({"x-amz-checksum-sha256": digest}, b"other", conditions=[]).refusal() == (400, "BadDigest")
    assert post({"x-amz-checksum-sha256": "sailorjerry"}, conditions=[]).refusal() == (400, "BadDigest")
    md5 = base64.b64encode(hashlib.md5(b"content", usedforsecurity=False).digest()).decode()
    assert post({"Content-MD5": md5}, b"other").refusal() == (400, "BadDigest")
    assert read(s3, bucket, "k") == b"content"


def test_conditional_form(s3: Any, post: Post, bucket: str) -> None:
    assert post({"If-None-Match": "*"}).status == 204
    assert post({"If-None-Match": "*"}, b"other").refusal() == (412, "PreconditionFailed")
    assert read(s3, bucket, "k") == b"content"


def test_form_with_content_md5_of_the_whole(raw: RawClient, target: Target, s3: Any, bucket: str) -> None:
    auth = forms.signed(target, [{"bucket": bucket}, {"key": "k"}])
    content = forms.body({"key": "k", **auth}, b"content")
    right = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    wrong = base64.b64encode(bytes(16)).decode()
    assert forms.post(raw, f"/{bucket}", content, {"Content-MD5": wrong}).refusal() == (400, "BadDigest")
    assert not exists(s3, bucket, "k")
    assert forms.post(raw, f"/{bucket}", content, {"Content-MD5": right}).status == 204


@pytest.mark.parametrize(
    "break_it",
    [
        lambda content: content[:-30],
        lambda content: content.replace(b"--\r\n", b"", 1),
        lambda content: b"no form at all" + content,
        lambda content: content.replace(b"form-data;", b"attachment;", 1),
        lambda content: content.replace(b"name=", b"nom=", 1),
        lambda content: content.replace(b"Content-Disposition:", b"Content Disposition:", 1),
        lambda content: content.replace(b'"key"', b'"k\xff"', 1),
        lambda content: b"",
    ],
    ids=["cut", "no end", "preamble", "attachment", "no name", "bad header", "no utf-8", "empty"],
)
def test_malformed_form(
    s3: Any, raw: RawClient, target: Target, bucket: str, break_it: Callable[[bytes], bytes]
) -> None:
    auth = forms.signed(target, [{"bucket": bucket}, {"key": "k"}])
    answer = forms.post(raw, f"/{bucket}", break_it(forms.body({"key": "k", **auth}, b"content")))
    assert answer.refusal() == (400, "MalformedPOSTRequest")
    assert not exists(s3, bucket, "k")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=", 400),
        (f"multipart/form-data; boundary={'b' * 71}", 400),
        ("multipart/form-data; boundary=other", 400),
        (f'multipart/form-data; boundary="{forms.BOUNDARY}"; charset=utf-8', 204),
        ("application/x-www-form-urlencoded", 412),
    ],
)
def test_content_type_of_the_form(raw: RawClient, target: Target, bucket: str, content_type: str, status: int) -> None:
    auth = forms.signed(target, [{"bucket": bucket}, {"key": "k"}])
    content = forms.body({"key": "k", **auth}, b"content")
    answer = forms.post(raw, f"/{bucket}", content, {"Content-Type": content_type})
    assert answer.status == status


def test_charset_of_a_field(s3: Any, raw: RawClient, target: Target, bucket: str) -> None:
    auth = forms.signed(target, [{"bucket": bucket}, ["starts-with", "$key", "gr"]])
    latin = forms.part("key", "grün".encode("latin-1"), content_type="text/plain; charset=iso-8859-1")
    assert forms.post(raw, f"/{bucket}", latin + forms.body(auth, b"content")).status == 204
    assert read(s3, bucket, "grün") == b"content"
    other = forms.part("key", b"gr", content_type="text/plain; charset=utf-7")
    assert forms.post(raw, f"/{bucket}", other + forms.body(auth, b"content")).refusal() == (400, "InvalidArgument")


def test_anonymous_form_is_refused_where_nothing_lets_it(s3: Any, raw: RawClient, bucket: str) -> None:
    for file in (b"content", b"x" * 100_000):
        answer = forms.post(raw, f"/{bucket}", forms.body({"key": "k"}, file))
        assert answer.refusal() == (403, "AccessDenied")
    assert not exists(s3, bucket, "k")


def test_anonymous_form_is_taken_where_a_policy_lets_it(
    s3: Any, raw: RawClient, server: RunningServer | None, bucket: str
) -> None:
    if server is None:
        pytest.skip("the policy is written with SQL, where the suite starts the server")
    with psycopg.connect(server.run("db", "url").stdout.strip(), autocommit=True) as database:
        database.execute(f"""
            CREATE POLICY "{bucket}" ON storage.objects FOR INSERT TO anon
            WITH CHECK (bucket_id = '{bucket}' AND name LIKE 'in/%' AND (metadata ->> 'mimetype') = 'text/plain'
                AND coalesce(size_bytes, 0) < 100)
        """)
        text = {"Content-Type": "text/plain"}
        try:
            allowed = forms.post(raw, f"/{bucket}", forms.body({"key": "in/k", **text}, b"content"))
            elsewhere = forms.post(raw, f"/{bucket}", forms.body({"key": "k", **text}, b"content"))
            typed = forms.post(raw, f"/{bucket}", forms.body({"key": "in/j"}, b"content"))
            large = forms.post(raw, f"/{bucket}", forms.body({"key": "in/l", **text}, b"x" * 100))
        finally:
            database.execute(f'DROP POLICY "{bucket}" ON storage.objects')
    assert (allowed.status, read(s3, bucket, "in/k")) == (204, b"content")
    for answer in (elsewhere, typed, large):
        assert answer.refusal() == (403, "AccessDenied")
    assert keys_of(s3, bucket) == ["in/k"]


def test_form_with_another_signature(raw: RawClient, target: Target, bucket: str) -> None:
    content = forms.body({"key": "k", **forms.signed(target, [{"bucket": bucket}, {"key": "k"}])}, b"content")
    headers = {"Content-Type": f"multipart/form-data; boundary={forms.BOUNDARY}"}
    assert raw("POST", f"/{bucket}", headers, content).refusal() == (400, "InvalidRequest")


def test_sigv2_form_is_refused_by_default(raw: RawClient, target: Target, bucket: str) -> None:
    fields = {"key": "k", **forms.signed_sigv2(target, [{"bucket": bucket}, {"key": "k"}])}
    answer = forms.post(raw, f"/{bucket}", forms.body(fields, b"content"))
    assert answer.refusal() == (400, "InvalidRequest")
    assert "AWS4-HMAC-SHA256" in answer.xml.findtext("Message")


def test_chunked_form(s3: Any, raw: RawClient, target: Target, bucket: str) -> None:
    content = forms.body({"key": "k", **forms.signed(target, [{"bucket": bucket}, {"key": "k"}])}, b"content" * 1000)
    pieces = [content[start : start + 97] for start in range(0, len(content), 97)]
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    assert forms.post(raw, f"/{bucket}", chunked, {"Transfer-Encoding": "chunked"}).status == 204
    assert read(s3, bucket, "k") == b"content" * 1000


def test_what_stands_around_the_form_is_ignored(s3: Any, raw: RawClient, target: Target, bucket: str) -> None:
    content = forms.body({"key": "k", **forms.signed(target, [{"bucket": bucket}, {"key": "k"}])}, b"content")
    assert forms.post(raw, f"/{bucket}", b"\r\n" + content + b"epilogue" * 1000).status == 204
    assert read(s3, bucket, "k") == b"content"


def test_answer_to_a_form_of_another_site(s3: Any, raw: RawClient, target: Target, bucket: str) -> None:
    rule = {"AllowedOrigins": ["https://app.example.com"], "AllowedMethods": ["POST"], "ExposeHeaders": ["ETag"]}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    content = forms.body({"key": "k", **forms.signed(target, [{"bucket": bucket}, {"key": "k"}])}, b"content")
    answer = forms.post(raw, f"/{bucket}", content, {"Origin": "https://app.example.com"})
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
