"""XML in and out, compiled per shape: strict readers over lxml, string-built writers.

Reading never resolves entities, refuses DOCTYPE, unknown and repeated elements (as S3's schema does) and any encoding
but UTF-8. Writing works on columns: one pass over a field of all the items of a list, one escape test for the column,
which renders a page of 1,000 keys in about a millisecond where an element tree takes ten.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Final
from urllib.parse import quote

from lxml import etree

from gateway.errors import StorageError
from gateway.operations import shapes
from gateway.s3.model import S3_NAMESPACE, SIGNED, Kind, Location, Member, Shape
from gateway.s3.values import iso8601, strict_boolean, strict_instant, strict_integer

DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_DATACLASS_NAMES: Final = {"Error": "S3Error", "Object": "S3Object"}

ElementReader = Callable[[etree._Element], Any]
# One field over many rows: what opens each element, the texts, what closes it. None when no row has the field.
Column = tuple[str, Sequence[str], str]
ColumnWriter = Callable[[Sequence[Any]], Column | None]


def dataclass_of(shape: Shape) -> Any:
    """The frozen dataclass that holds a structure. Raises AttributeError when ``operations.shapes`` lacks it."""
    return getattr(shapes, _DATACLASS_NAMES.get(shape.name, shape.name))


# --- reading -------------------------------------------------------------------------------------------------


def parse(document: bytes, root: str) -> etree._Element:
    """The root element of a document that must be called ``root``. The caller has capped its size.

    Raises StorageError(MalformedXML).
    """
    # The encoding is set, not believed: a declared UTF-7 or UTF-16 is read as UTF-8 like everything else.
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        element = etree.fromstring(document, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise StorageError("MalformedXML") from None
    if element.getroottree().docinfo.internalDTD is not None or local_name(element) != root:
        raise StorageError("MalformedXML")
    return element


def local_name(element: etree._Element) -> str:
    """An element's name without S3's namespace, which old clients leave out. Raises StorageError(MalformedXML)."""
    tag = str(element.tag)
    if tag.startswith("{"):
        namespace, _, tag = tag[1:].partition("}")
        if namespace != S3_NAMESPACE:
            raise StorageError("MalformedXML")
    return tag


def element_reader(shape: Shape) -> ElementReader:
    """How an element of this shape becomes a value. The reader raises StorageError(MalformedXML)."""
    if shape.kind is Kind.STRUCTURE:
        return _structure_reader(shape)
    if shape.kind is Kind.LIST:
        return _wrapped_list_reader(shape)
    return _leaf_reader(shape)


def _leaf_reader(shape: Shape) -> ElementReader:
    convert: Callable[[str], Any]
    if shape.kind is Kind.INTEGER:
        convert = partial(strict_integer, maximum=shape.maximum or 2**63 - 1, signed=shape.name in SIGNED)
    elif shape.kind is Kind.BOOLEAN:
        convert = strict_boolean
    elif shape.kind is Kind.TIMESTAMP:
        convert = strict_instant
    elif shape.name == "ETag":
        convert = unquoted
    else:
        convert = str
    non_empty = shape.name == "ObjectKey"

    def read(element: etree._Element) -> Any:
        text = element.text or ""
        if len(element) or (non_empty and not text):
            raise StorageError("MalformedXML")
        if shape.enum and text not in shape.enum:
            raise StorageError("MalformedXML")
        try:
            return convert(text)
        except (ValueError, OverflowError):
            raise StorageError("MalformedXML") from None

    return read


def unquoted(etag: str) -> str:
    """An entity tag without the quotes some clients echo and others drop."""
    etag = etag.strip()
    return etag[1:-1] if len(etag) >= 2 and etag[0] == etag[-1] == '"' else etag


def _wrapped_list_reader(shape: Shape) -> ElementReader:
    read_item = element_reader(_item(shape))

    def read(element: etree._Element) -> tuple[Any, ...]:
        if any(local_name(child) != shape.item_name for child in element):
            raise StorageError("MalformedXML")
        return _limited(tuple(read_item(child) for child in element), shape)

    return read


def _structure_reader(shape: Shape) -> ElementReader:
    build = dataclass_of(shape)
    elements = {
        member.wire_name: (member.field, member.shape.flattened, element_reader(_repeated(member)))
        for member in shape.members
        if not member.attribute
    }
    attributes = [(_attribute_name(m), m.field) for m in shape.members if m.attribute]
    lists = {m.field: m.shape for m in shape.members if m.shape.flattened}
    required = [m.field for m in shape.members if m.required]

    def read(element: etree._Element) -> Any:
        values: dict[str, Any] = {}
        for child in element:
            found = elements.get(local_name(child))
            if found is None:
                raise StorageError("MalformedXML")
            field, flattened, read_child = found
            if flattened:
                values.setdefault(field, []).append(read_child(child))
            elif field in values:
                raise StorageError("MalformedXML")
            else:
                values[field] = read_child(child)
        for field, of in lists.items():
            if field in values:
                values[field] = _limited(tuple(values[field]), of)
        for name, field in attributes:
            if (text := element.get(name)) is not None:
                values[field] = text
        if any(field not in values for field in required):
            raise StorageError("MalformedXML")
        return build(**values)

    return read


def _limited(items: tuple[Any, ...], shape: Shape) -> tuple[Any, ...]:
    if shape.max_items is not None and len(items) > shape.max_items:
        raise StorageError("MalformedXML")
    return items


def _item(shape: Shape) -> Shape:
    if shape.item is None:
        raise TypeError(f"{shape.name} is no list")
    return shape.item


def _repeated(member: Member) -> Shape:
    return _item(member.shape) if member.shape.flattened else member.shape


def _attribute_name(member: Member) -> str:
    prefix, _, name = member.wire_name.partition(":")
    return f"{{{_XSI}}}{name}" if prefix == "xsi" else member.wire_name


# --- writing -------------------------------------------------------------------------------------------------

# Illegal in XML 1.0 or lost on the way; S3 writes references such as &#x1; for them, which lenient parsers read.
_UNSAFE: Final = re.compile('[&<>"\r\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]')
_NAMED: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;"}
_URL_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.~/-]")


def escape(text: str) -> str:
    """Text as XML character data or attribute value."""
    return _UNSAFE.sub(lambda match: _NAMED.get(match[0]) or f"&#x{ord(match[0]):x};", text)


def document_writer(
    root: str,
    members: Sequence[Member],
    *,
    quote_etag: bool = True,
    url_encoded: frozenset[str] = frozenset(),
    plain: frozenset[str] = frozenset(),
) -> Callable[[Any], bytes]:
    """How an output record becomes a document; ``url_encoded`` names the members written percent-encoded, ``plain``
    those of the root element that are not although deeper ones of that name are."""
    write = _Writers(quote_etag, url_encoded).rows(members, plain)
    head, tail = f'{DECLARATION}<{root} xmlns="{S3_NAMESPACE}">', f"</{root}>"
    return lambda value: f"{head}{write((value,))[0]}{tail}".encode()


class _Writers:
    """Builds column writers under one set of options."""

    def __init__(self, quote_etag: bool, url_encoded: frozenset[str]) -> None:
        self._quote_etag = quote_etag
        self._url_encoded = url_encoded

    def rows(
        self, members: Sequence[Member], plain: frozenset[str] = frozenset()
    ) -> Callable[[Sequence[Any]], list[str]]:
        """The content of each record: its elements in the model's order."""
        columns = [
            (attrgetter(member.field), self._column(member, plain))
            for member in members
            if member.location is Location.BODY and not member.attribute
        ]

        def write(records: Sequence[Any]) -> list[str]:
            written = [write_column(list(map(get, records))) for get, write_column in columns]
            present = [column for column in written if column is not None]
            if not present:
                return [""] * len(records)
            row = "".join(f"{start}%s{end}" for start, _, end in present)
            return list(map(row.__mod__, zip(*(texts for _, texts, _ in present), strict=True)))

        return write

    def _column(self, member: Member, plain: frozenset[str] = frozenset()) -> ColumnWriter:
        shape, name = member.shape, member.wire_name
        if shape.kind is Kind.LIST:
            return self._list_column(name, shape)
        if shape.kind is Kind.STRUCTURE:
            return self._structure_column(name, shape)
        start, end = f"<{name}>", f"</{name}>"
        if shape.name == "ETag" and self._quote_etag:
            start, end = f"{start}&quot;", f"&quot;{end}"
        contents = _texts if member.name in plain else self._contents(member.name, shape)
        return _sparse(start, contents, end)

    def _contents(self, name: str, shape: Shape) -> Callable[[list[Any]], Sequence[str]]:
        match shape.kind:
            case Kind.INTEGER:
                return lambda values: list(map(str, values))
            case Kind.BOOLEAN:
                return lambda values: ["true" if value else "false" for value in values]
            case Kind.TIMESTAMP:
                return lambda values: list(map(iso8601, values))
        return _url_texts if name in self._url_encoded else _texts

    def _structure_column(self, name: str, shape: Shape) -> ColumnWriter:
        contents = self.rows(shape.members)
        attributes = [m for m in shape.members if m.attribute]
        start, end = f"<{name}>", f"</{name}>"

        def open_tag(value: Any) -> str:
            given = "".join(f' {m.wire_name}="{escape(getattr(value, m.field))}"' for m in attributes)
            return f'<{name} xmlns:xsi="{_XSI}"{given}>'

        def with_attributes(values: list[Any]) -> Sequence[str]:
            return [f"{open_tag(value)}{row}{end}" for value, row in zip(values, contents(values), strict=True)]

        return _sparse("", with_attributes, "") if attributes else _sparse(start, contents, end)

    def _list_column(self, name: str, shape: Shape) -> ColumnWriter:
        item = Member(shape.name, "", name if shape.flattened else shape.item_name, Location.BODY, _item(shape))
        write_items = self._column(item)
        start, end = ("", "") if shape.flattened else (f"<{name}>", f"</{name}>")

        def write(lists: Sequence[Any]) -> Column | None:
            if lists.count(None) == len(lists) or (shape.flattened and not any(lists)):
                return None
            # The items of all lists at once: one list a row, each with one item, is the usual case.
            column = write_items([item for items in lists if items for item in items])
            opened, texts, closed = column or ("", (), "")
            remaining = iter(texts)
            return (
                "",
                [
                    ""
                    if items is None
                    else start + "".join([f"{opened}{next(remaining)}{closed}" for _ in items]) + end
                    for items in lists
                ],
                "",
            )

        return write


def _sparse(start: str, contents: Callable[[list[Any]], Sequence[str]], end: str) -> ColumnWriter:
    """A column writer that leaves out the elements of absent values."""

    def column(values: Sequence[Any]) -> Column | None:
        absent = values.count(None)
        if not absent:
            return start, contents(list(values)), end
        if absent == len(values):
            return None
        texts = iter(contents([value for value in values if value is not None]))
        return "", ["" if value is None else f"{start}{next(texts)}{end}" for value in values], ""

    return column


def _texts(values: list[str]) -> Sequence[str]:
    return values if _UNSAFE.search("".join(values)) is None else list(map(escape, values))


def _url_texts(values: list[str]) -> Sequence[str]:
    if _URL_UNSAFE.search("".join(values)) is None:
        return values
    return [quote(value, safe="/") for value in values]
