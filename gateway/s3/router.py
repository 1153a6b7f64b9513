"""Which of S3's operations a request is: all of them are recognised, none falls through to a neighbour.

A sub-resource such as ``?tagging`` on a method that lacks it must never run the plain operation underneath: that
is how a tagging document overwrites an object (DESIGN §2 rule 5).
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NoReturn

from gateway.context import Address, BucketAddress, ObjectAddress
from gateway.errors import StorageError
from gateway.s3 import model
from gateway.s3.model import OperationModel, Target

_METHOD: Final = re.compile(r"[A-Z]{1,16}")

# A parameter of GetObject and HeadObject, but half of UploadPart's name on the methods that change something.
_PART_NUMBER: Final = "partNumber"
_UPLOAD_ID: Final = "uploadId"
_NONE: Final[frozenset[str]] = frozenset()
_READS: Final = frozenset({"GET", "HEAD"})


def target_of(address: Address) -> Target:
    """Service, bucket or object."""
    if isinstance(address, ObjectAddress):
        return Target.OBJECT
    return Target.BUCKET if isinstance(address, BucketAddress) else Target.SERVICE


class Router:
    """The operations indexed by method and target, most selective first."""

    def __init__(self, operations: Mapping[str, OperationModel]) -> None:
        self._post_object = operations["PostObject"]
        self._options_object = operations["OptionsObject"]
        special = {*model.SAME_WIRE_FORM, self._post_object.name, self._options_object.name}
        self._candidates: dict[tuple[str, Target], list[OperationModel]] = defaultdict(list)
        # Those that ask for no parameter, and by target the parameters that any other asks for.
        self._plain: dict[tuple[str, Target], list[OperationModel]] = {}
        self._deciding: dict[Target, set[str]] = defaultdict(set)
        # (target, sub-resource) -> the methods it has there
        self._methods: dict[tuple[Target, str], set[str]] = defaultdict(set)
        self._target_methods: dict[Target, set[str]] = defaultdict(set)
        for operation in operations.values():
            if operation.name in special:
                continue
            self._candidates[operation.method, operation.target].append(operation)
            names = {name for name, _ in operation.selectors}
            self._deciding[operation.target] |= names | operation.required_query
            for name in names | (operation.required_query & {_UPLOAD_ID, _PART_NUMBER}):
                self._methods[operation.target, name].add(operation.method)
            if not (names or operation.required_query or operation.required_headers):
                self._target_methods[operation.target].add(operation.method)
        for key, candidates in self._candidates.items():
            candidates.sort(key=_selectivity, reverse=True)
            self._plain[key] = [each for each in candidates if not (each.selectors or each.required_query)]
        reserved = {name for _, name in self._methods} | model.FOREIGN_SELECTORS
        listing_only = {"list-type"}
        self._reserved: Mapping[Target, frozenset[str]] = {
            Target.SERVICE: frozenset(),
            Target.BUCKET: frozenset(reserved - {_PART_NUMBER}),
            Target.OBJECT: frozenset(reserved - listing_only),
        }

    def match(
        self, method: str, address: Address, query: Sequence[tuple[str, str]], headers: Mapping[str, str]
    ) -> OperationModel:
        """The operation of a request. ``query`` is decoded pairs; ``headers`` has lower-case names.

        Raises StorageError: MethodNotAllowed, NotImplemented, InvalidArgument, PreconditionFailed (a POST to a bucket
        that is no form).
        """
        target = target_of(address)
        if method == "OPTIONS":
            return self._options_object
        values = dict(query)
        subresources = self._subresources(method, target, values) if values else _NONE
        operation = self._best(method, target, values, headers)
        if operation is not None and subresources <= operation.query_names:
            return operation
        if subresources:
            self._refuse_subresource(method, target, values, subresources)
        if method == "POST" and target is Target.BUCKET:
            return self._form(headers)
        raise _method_not_allowed(method, target.value, self._target_methods[target])

    def _subresources(self, method: str, target: Target, values: Mapping[str, str]) -> AbstractSet[str]:
        names = set(self._reserved[target].intersection(values))
        if method in _READS or _UPLOAD_ID in values:
            names.discard(_PART_NUMBER)
        return names

    def _best(
        self, method: str, target: Target, values: Mapping[str, str], headers: Mapping[str, str]
    ) -> OperationModel | None:
        incomplete = None
        candidates = self._plain if self._deciding[target].isdisjoint(values) else self._candidates
        for operation in candidates.get((method, target), ()):
            if not operation.selectors:
                if incomplete is not None:
                    break
            elif operation.selectors[0][0] not in values:
                continue
            if not all(name in values and want in (None, values[name]) for name, want in operation.selectors):
                continue
            if operation.required_query <= values.keys() and operation.required_headers <= headers.keys():
                return operation
            if operation.selectors and incomplete is None:
                # Its URI names it: a missing member is its own error to report, no reason to run a plainer operation.
                incomplete = operation
        return incomplete

    def _form(self, headers: Mapping[str, str]) -> OperationModel:
        if headers.get("content-type", "").partition(";")[0].strip().lower() == "multipart/form-data":
            return self._post_object
        raise StorageError(
            "PreconditionFailed", Condition="Bucket POST must be of the enclosure-type multipart/form-data"
        )

    def _refuse_subresource(
        self, method: str, target: Target, values: Mapping[str, str], subresources: AbstractSet[str]
    ) -> NoReturn:
        names = sorted(subresources)
        if len(names) > 1:
            raise StorageError(
                "InvalidArgument",
                f"Conflicting query string parameters: {', '.join(names)}",
                ArgumentName="ResourceType",
                ArgumentValue=names[0],
            )
        name = names[0]
        methods = self._methods.get((target, name), set())
        if not methods:
            raise StorageError("NotImplemented", Header=name)
        if method not in methods:
            raise _method_not_allowed(method, name.upper(), methods)
        if name == "list-type":
            message = "Invalid List Type specified in Query"
        else:
            message = f"This operation does not accept {name} without its companion parameter"
        raise StorageError("InvalidArgument", message, ArgumentName=name, ArgumentValue=values[name])


def _selectivity(operation: OperationModel) -> int:
    return len(operation.selectors) * 8 + len(operation.required_query) + len(operation.required_headers)


def _method_not_allowed(method: str, resource_type: str, allowed: Iterable[str]) -> StorageError:
    fields = {"ResourceType": resource_type}
    if _METHOD.fullmatch(method):
        fields["Method"] = method
    if names := ", ".join(sorted(allowed)):
        fields["Allow"] = names
    return StorageError("MethodNotAllowed", **fields)
