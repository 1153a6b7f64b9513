"""XML documents: hostile ones refused at once, honest ones read strictly, answers escaped."""

import time
from typing import Any

import pytest

from gateway.errors import StorageError
from gateway.operations import shapes

from .requests import CODECS

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def read(name: str, document: str | bytes) -> Any:
    data = document.encode("utf-8") if isinstance(document, str) else document
    (value,) = CODECS[name].read_document(data).values()
    return value


def refused(name: str, document: str | bytes) -> str:
    started = time.perf_counter()
    with pytest.raises(StorageError) as caught:
        read(name, document)
    assert time.perf_counter() - started < 1.0
    return caught.value.code.name


# --- reading ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("namespace", [NAMESPACE, ""])
def test_DeleteObjects_reads_keys_literally(namespace: str) -> None:
    given = read(
        "DeleteObjects",
        f'<?xml version="1.0" encoding="UTF-8"?><!-- hello --><Delete {namespace}>'
        "<Quiet>TRUE</Quiet> <Object><Key> a&amp;b<![CDATA[<c>]]>&#13;\n</Key><VersionId>null</VersionId></Object>"
        '<Object><Key>é</Key><ETag>"abc"</ETag></Object></Delete>',
    )
    assert given == shapes.Delete(
        objects=(
            shapes.ObjectIdentifier(key=" a&b<c>\r\n", version_id="null"),
            shapes.ObjectIdentifier(key="é", etag="abc"),
        ),
        quiet=True,
    )


@pytest.mark.parametrize("etag", ['"abc"', "abc", "&quot;abc&quot;", " &#34;abc&#34; "])
def test_CompleteMultipartUpload_etags_with_and_without_quotes(etag: str) -> None:
    given = read(
        "CompleteMultipartUpload",
        f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>",
    )
    assert given.parts == (shapes.CompletedPart(part_number=1, etag="abc"),)


def part(number: str = "1", rest: str = "<ETag>a</ETag>") -> str:
    return f"<CompleteMultipartUpload><Part><PartNumber>{number}</PartNumber>{rest}</Part></CompleteMultipartUpload>"


@pytest.mark.parametrize(
    "document",
    [
        "<CompleteMultipartUpload/>",
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
        "<CompleteMultipartUpload><Part><ETag>a</ETag></Part></CompleteMultipartUpload>",
        part("-1"),
        part("+1"),
        part("01"),
        part("1.0"),
        part("٣"),
        part("99999999999999999999"),
        part(""),
        part("<x/>1"),
        part(rest="<ETag>a</ETag><ETag>b</ETag>"),
        part(rest="<ETag>a</ETag><Colour>red</Colour>"),
        "<Delete><Object><Key>a</Key></Object></Delete>",
        f"<CompleteMultipartUpload>{'<Part><PartNumber>1</PartNumber><ETag>a</ETag></Part>' * 10_001}"
        "</CompleteMultipartUpload>",
    ],
)
def test_CompleteMultipartUpload_document_must_fit_the_schema(document: str) -> None:
    assert refused("CompleteMultipartUpload", document) == "MalformedXML"


@pytest.mark.parametrize(
    "document",
    [
        "not xml",
        "<Delete>",
        "<Delete/>",
        "<Delete><Quiet>false</Quiet></Delete>",
        "<Delete><Object><Key/></Object></Delete>",
        "<Delete><Object><VersionId>v</VersionId></Object></Delete>",
        "<Delete><Quiet>maybe</Quiet><Object><Key>a</Key></Object></Delete>",
        '<Delete xmlns="urn:other"><Object><Key>a</Key></Object></Delete>',
        '<Delete><Object xmlns="urn:other"><Key>a</Key></Object></Delete>',
        "<!DOCTYPE Delete><Delete><Object><Key>a</Key></Object></Delete>",
        '<!DOCTYPE d [<!ENTITY b "x">]><Delete><Object><Key>&b;</Key></Object></Delete>',
        '<!DOCTYPE d [<!ENTITY b SYSTEM "file:///etc/passwd">]><Delete><Object><Key>&b;</Key></Object></Delete>',
        "<Delete><Object><Key>&unknown;</Key></Object></Delete>",
        "<Delete><Object><Key>&#0;</Key></Object></Delete>",
        "<Delete><Object><Key>a</Key></Object></Delete>".encode("utf-16"),
        '<?xml version="1.0" encoding="UTF-7"?>+ADw-Delete/+AD4-'.encode("ascii"),
        '<?xml version="1.0" encoding="ISO-8859-1"?><Delete><Object><Key>é</Key></Object></Delete>'.encode("latin-1"),
        "<a>" * 10_000 + "</a>" * 10_000,
        "<Delete>" + "<Object><Key>a</Key></Object>" * 1001 + "</Delete>",
        "<Delete " + " ".join(f'a{i}="b"' for i in range(100_000)) + "/>",
        "<Delete><Object><Key>" + "x" * 11_000_000 + "</Key></Object></Delete>",
    ],
    ids=range(21),
)
def test_hostile_or_broken_documents_are_refused_at_once(document: str | bytes) -> None:
    assert refused("DeleteObjects", document) == "MalformedXML"


def test_entity_bomb_is_refused_at_once() -> None:
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    bomb = f'<!DOCTYPE d [<!ENTITY e0 "ha">{entities}]><Delete><Object><Key>&e11;</Key></Object></Delete>'
    assert refused("DeleteObjects", bomb) == "MalformedXML"


def test_DeleteObjects_takes_1000_keys() -> None:
    document = "<Delete>" + "".join(f"<Object><Key>{i}</Key></Object>" for i in range(1000)) + "</Delete>"
    assert [item.key for item in read("DeleteObjects", document).objects] == [str(i) for i in range(1000)]


def test_DeleteObjects_without_a_body() -> None:
    assert refused("DeleteObjects", b"") == "MissingRequestBodyError"


def test_CreateBucket_body_is_optional_and_its_region_free() -> None:
    assert CODECS["CreateBucket"].read_document(b"") == {}
    given = read(
        "CreateBucket",
        f"<CreateBucketConfiguration {NAMESPACE}><LocationConstraint>moon-1</LocationConstraint>"
        "</CreateBucketConfiguration>",
    )
    assert given == shapes.CreateBucketConfiguration(location_constraint="moon-1")


def test_CreateBucket_tags_are_a_wrapped_list() -> None:
    given = read(
        "CreateBucket",
        "<CreateBucketConfiguration><Tags><Tag><Key>a</Key><Value/></Tag></Tags></CreateBucketConfiguration>",
    )
    assert given.tags == (shapes.Tag(key="a", value=""),)
    wrong = "<CreateBucketConfiguration><Tags><Mark/></Tags></CreateBucketConfiguration>"
    assert refused("CreateBucket", wrong) == "MalformedXML"


# --- writing ---------------------------------------------------------------------------------------------------


def written(name: str, output: object) -> str:
    body = CODECS[name].render(output).body
    assert isinstance(body, bytes)
    return body.decode("utf-8")


def listing(key: str, **more: Any) -> str:
    output = shapes.ListObjectsV2Output(contents=(shapes.S3Object(key=key, etag="e"),), **more)
    return written("ListObjectsV2", output)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("a<b>&\"c'", "a&lt;b&gt;&amp;&quot;c'"),
        ("]]>", "]]&gt;"),
        ("a\rb\nc\td", "a&#13;b\nc\td"),
        ("\x01\x1f", "&#x1;&#x1f;"),
        ("\ufffe", "&#xfffe;"),
        ("é😀", "é😀"),
    ],
)
def test_listed_keys_are_escaped(key: str, text: str) -> None:
    assert f"<Contents><Key>{text}</Key><ETag>&quot;e&quot;</ETag></Contents>" in listing(key)


def test_encoding_type_url_encodes_the_members_S3_names() -> None:
    text = listing(
        "a b+\x01/é",
        encoding_type="url",
        prefix="a ",
        delimiter="&",
        start_after="<",
        continuation_token="a b",
        name="bucket",
        common_prefixes=(shapes.CommonPrefix(prefix="x y/"),),
    )
    assert "<Key>a%20b%2B%01/%C3%A9</Key>" in text
    assert "<Prefix>a%20</Prefix>" in text
    assert "<Delimiter>%26</Delimiter>" in text
    assert "<StartAfter>%3C</StartAfter>" in text
    assert "<CommonPrefixes><Prefix>x%20y/</Prefix></CommonPrefixes>" in text
    assert "<ContinuationToken>a b</ContinuationToken>" in text
    assert "<EncodingType>url</EncodingType>" in text


def test_ListBuckets_empty_list_keeps_its_element() -> None:
    assert written("ListBuckets", shapes.ListBucketsOutput(buckets=())) == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<ListAllMyBucketsResult {NAMESPACE}><Buckets></Buckets></ListAllMyBucketsResult>"
    )


def test_rows_with_different_members_stay_apart() -> None:
    parts = (shapes.Part(part_number=1), shapes.Part(etag="b"), shapes.Part(part_number=3, etag="c", size=0))
    assert (
        "<Part><PartNumber>1</PartNumber></Part><Part><ETag>&quot;b&quot;</ETag></Part>"
        "<Part><PartNumber>3</PartNumber><ETag>&quot;c&quot;</ETag><Size>0</Size></Part>"
    ) in written("ListParts", shapes.ListPartsOutput(parts=parts))


def test_GetBucketAcl_grantee_has_its_type_as_an_attribute() -> None:
    grant = shapes.Grant(grantee=shapes.Grantee(type="CanonicalUser", id='a"b'), permission="READ")
    assert (
        '<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">'
        "<ID>a&quot;b</ID></Grantee><Permission>READ</Permission></Grant>"
    ) in written("GetBucketAcl", shapes.GetBucketAclOutput(grants=(grant,)))


def test_percent_signs_survive() -> None:
    assert "<Key>100%s%%</Key>" in listing("100%s%%")


def test_GetObjectAttributes_etag_has_no_quotes() -> None:
    assert "<ETag>abc</ETag>" in written("GetObjectAttributes", shapes.GetObjectAttributesOutput(etag="abc"))
