"""The one error catalogue, and the one exception the core raises.

A code's name, status and message are AWS's (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html);
each front renders it in its own shape. Nothing below the fronts knows HTTP beyond the status kept here as data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One entry of the catalogue. ``retry_after_seconds`` is sent with answers a client should repeat."""

    name: str
    status: int
    message: str
    retry_after_seconds: int | None = None


_CATALOGUE: Final = (
    ErrorCode("AccessControlListNotSupported", 400, "The bucket does not allow ACLs"),
    ErrorCode("AccessDenied", 403, "Access Denied"),
    ErrorCode("AccessForbidden", 403, "Access forbidden"),
    ErrorCode("AnnotationLimitExceeded", 400, "The request would exceed the maximum number of annotations allowed per object."),
    ErrorCode("AnnotationNameTooLong", 400, "The annotation name exceeds 512 bytes."),
    ErrorCode("AuthorizationHeaderMalformed", 400, "The authorization header you provided is invalid."),
    ErrorCode("AuthorizationQueryParametersError", 400, "The authorization query parameters that you provided are not valid."),
    ErrorCode("BadDigest", 400, "The Content-MD5 or checksum value that you specified did not match what the server received."),
    ErrorCode("BadRequest", 400, "The request could not be understood."),
    ErrorCode("BucketAlreadyExists", 409, "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Select a different name and try again."),
    ErrorCode("BucketAlreadyOwnedByYou", 409, "Your previous request to create the named bucket succeeded and you already own it."),
    ErrorCode("BucketNotEmpty", 409, "The bucket you tried to delete is not empty"),
    ErrorCode("ConditionalRequestConflict", 409, "The conditional request cannot succeed due to a conflicting operation against this resource."),
    ErrorCode("CredentialsNotSupported", 400, "This request does not support credentials."),
    ErrorCode("EntityAlreadyExists", 409, "Something of that name exists."),
    ErrorCode("EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size"),
    ErrorCode("EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size"),
    ErrorCode("ExpiredToken", 400, "The provided token has expired."),
    ErrorCode("IllegalLocationConstraintException", 400, "The specified location constraint is not valid for this region."),
    ErrorCode("IllegalVersioningConfigurationException", 400, "The versioning configuration specified in the request is invalid"),
    ErrorCode("IncompleteBody", 400, "You did not provide the number of bytes specified by the Content-Length HTTP header"),
    ErrorCode("InsufficientStorage", 507, "The server has no room left to store the object."),
    ErrorCode("InternalError", 500, "We encountered an internal error. Please try again."),
    ErrorCode("InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our records."),
    ErrorCode("InvalidAnnotationName", 400, "The annotation name you provided is invalid."),
    ErrorCode("InvalidArgument", 400, "Invalid Argument"),
    ErrorCode("InvalidBucketAclWithObjectOwnership", 400, "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"),
    ErrorCode("InvalidBucketName", 400, "The specified bucket is not valid."),
    ErrorCode("InvalidBucketState", 409, "The request is not valid with the current state of the bucket."),
    ErrorCode("InvalidChunkSizeError", 400, "The chunk size of the aws-chunked body is not valid."),
    ErrorCode("InvalidDigest", 400, "The Content-MD5 or checksum value that you specified is not valid."),
    ErrorCode("InvalidEncryptionAlgorithmError", 400, "The encryption request you specified is not valid. The valid value is AES256."),
    ErrorCode("InvalidHost", 400, "The Host header is missing or not valid."),
    ErrorCode("InvalidJWT", 400, "Invalid Compact JWS"),
    ErrorCode("InvalidKey", 400, "Invalid key"),
    ErrorCode("InvalidLocationConstraint", 400, "The specified location-constraint is not valid"),
    ErrorCode("InvalidMimeType", 415, "The bucket does not allow objects of this content type."),
    ErrorCode("InvalidObjectState", 403, "The operation is not valid for the current state of the object."),
    ErrorCode("InvalidParameter", 400, "Invalid Parameter"),
    ErrorCode("InvalidPart", 400, "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."),
    ErrorCode("InvalidPartNumber", 416, "The requested partnumber is not satisfiable"),
    ErrorCode("InvalidPartOrder", 400, "The list of parts was not in ascending order. Parts must be ordered by part number."),
    ErrorCode("InvalidPolicyDocument", 400, "The content of the form does not meet the conditions specified in the policy document."),
    ErrorCode("InvalidPrefix", 400, "The annotation prefix you provided is invalid."),
    ErrorCode("InvalidRange", 416, "The requested range is not satisfiable"),
    ErrorCode("InvalidRequest", 400, "Invalid Request"),
    ErrorCode("InvalidRetentionPeriod", 400, "The retention period must be a positive number of days or years."),
    ErrorCode("InvalidSignature", 400, "Invalid signature"),
    ErrorCode("InvalidStorageClass", 400, "The storage class you specified is not valid"),
    ErrorCode("InvalidTag", 400, "The tag provided was not a valid tag. This error can occur if the tag did not pass input validation."),
    ErrorCode("InvalidToken", 400, "The provided token is malformed or otherwise invalid."),
    ErrorCode("InvalidURI", 400, "Couldn't parse the specified URI."),
    ErrorCode("KMS.NotFoundException", 400, "The KMS key does not exist."),
    ErrorCode("KeyAlreadyExists", 409, "The resource already exists"),
    ErrorCode("KeyTooLongError", 400, "Your key is too long"),
    ErrorCode("MalformedACLError", 400, "The XML you provided was not well-formed or did not validate against our published schema"),
    ErrorCode("MalformedPOSTRequest", 400, "The body of your POST request is not well-formed multipart/form-data."),
    ErrorCode("MalformedPolicy", 400, "The policy is not valid."),
    ErrorCode("MalformedTrailerError", 400, "The request contained trailing data that was not well-formed or did not conform to our published schema."),
    ErrorCode("MalformedXML", 400, "The XML you provided was not well-formed or did not validate against our published schema"),
    ErrorCode("MaxMessageLengthExceeded", 400, "Your request was too big."),
    ErrorCode("MaxPostPreDataLengthExceeded", 400, "Your POST request fields preceding the upload file was too large."),
    ErrorCode("MetadataTooLarge", 400, "Your metadata headers exceed the maximum allowed metadata size"),
    ErrorCode("MethodNotAllowed", 405, "The specified method is not allowed against this resource."),
    ErrorCode("MissingContentLength", 411, "You must provide the Content-Length HTTP header."),
    ErrorCode("MissingParameter", 400, "Missing Required Parameter"),
    ErrorCode("MissingRequestBodyError", 400, "Request Body is empty"),
    ErrorCode("MissingSecurityHeader", 400, "Your request was missing a required header"),
    ErrorCode("NoSuchAnnotation", 404, "The specified annotation does not exist on this object."),
    ErrorCode("NoSuchBucket", 404, "The specified bucket does not exist"),
    ErrorCode("NoSuchBucketPolicy", 404, "The bucket policy does not exist"),
    ErrorCode("NoSuchCORSConfiguration", 404, "The CORS configuration does not exist"),
    ErrorCode("NoSuchEntity", 404, "There is no such thing."),
    ErrorCode("NoSuchKey", 404, "The specified key does not exist."),
    ErrorCode("NoSuchLifecycleConfiguration", 404, "The lifecycle configuration does not exist"),
    ErrorCode("NoSuchObjectLockConfiguration", 404, "The specified object does not have a ObjectLock configuration"),
    ErrorCode("NoSuchPublicAccessBlockConfiguration", 404, "The public access block configuration was not found"),
    ErrorCode("NoSuchTagSet", 404, "The TagSet does not exist"),
    ErrorCode("NoSuchUpload", 404, "The specified multipart upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."),
    ErrorCode("NoSuchVersion", 404, "The specified version does not exist."),
    ErrorCode("NoSuchWebsiteConfiguration", 404, "The specified bucket does not have a website configuration"),
    ErrorCode("NotImplemented", 501, "A header you provided implies functionality that is not implemented"),
    ErrorCode("NotModified", 304, "Not Modified"),
    ErrorCode("ObjectLockConfigurationNotFoundError", 404, "Object Lock configuration does not exist for this bucket"),
    ErrorCode("OwnershipControlsNotFoundError", 404, "The bucket ownership controls were not found"),
    ErrorCode("PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold"),
    ErrorCode("QuotaExceeded", 403, "The quota of stored bytes is exceeded."),
    ErrorCode("ReplicationConfigurationNotFoundError", 404, "The replication configuration was not found"),
    ErrorCode("RequestHeaderSectionTooLarge", 400, "Your request header section exceeds the maximum allowed size."),
    ErrorCode("RequestTimeTooSkewed", 403, "The difference between the request time and the server's time is too large."),
    ErrorCode("RequestTimeout", 400, "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed."),
    ErrorCode("ServerSideEncryptionConfigurationNotFoundError", 404, "The server side encryption configuration was not found"),
    ErrorCode("ServiceUnavailable", 503, "Service is unable to handle request.", retry_after_seconds=1),
    ErrorCode("SignatureDoesNotMatch", 403, "The request signature we calculated does not match the signature you provided. Check your key and signing method."),
    ErrorCode("SlowDown", 503, "Please reduce your request rate.", retry_after_seconds=1),
    ErrorCode("TemporaryRedirect", 307, "The object is to be read at the location given."),
    ErrorCode("UnexpectedContent", 400, "This request does not support content"),
    ErrorCode("UnresolvableGrantByEmailAddress", 400, "The email address you provided does not match any account on record."),
    ErrorCode("UnsupportedMediaType", 415, "The annotation payload is not valid UTF-8 text."),
    ErrorCode("XAmzContentChecksumMismatch", 400, "The provided 'x-amz-checksum' header does not match what was computed."),
    ErrorCode("XAmzContentSHA256Mismatch", 400, "The provided 'x-amz-content-sha256' header does not match what was computed."),
)  # fmt: skip

CATALOGUE: Final[Mapping[str, ErrorCode]] = {code.name: code for code in _CATALOGUE}


@dataclass(frozen=True, slots=True)
class RestAlias:
    """How Supabase's clients know an error of the catalogue: its ``code``, the status in the body, the short ``error``
    text and the message; None keeps the catalogue's own."""

    code: str | None = None
    status: int | None = None
    error: str | None = None
    message: str | None = None


REST_ALIASES: Final[Mapping[str, RestAlias]] = {
    "AccessDenied": RestAlias(error="Unauthorized"),
    "BucketAlreadyExists": RestAlias("ResourceAlreadyExists", 409, "Duplicate", "The resource already exists"),
    "BucketNotEmpty": RestAlias("ResourceNotEmpty", 409, None, "The bucket you tried to delete is not empty"),
    "ConditionalRequestConflict": RestAlias("ResourceLocked", 423, None, "The resource is locked"),
    "EntityTooLarge": RestAlias(None, 413, "Payload too large", "The object exceeded the maximum allowed size"),
    "InternalError": RestAlias(error="Internal", message="Internal Server Error"),
    "InvalidArgument": RestAlias("InvalidParameter"),
    "InvalidBucketName": RestAlias(error="Invalid Input", message="Bucket name invalid"),
    "InvalidMimeType": RestAlias(error="invalid_mime_type"),
    "InvalidRange": RestAlias(error="invalid_range", message="invalid range provided"),
    "InvalidURI": RestAlias("InvalidRequest"),
    "KeyAlreadyExists": RestAlias(error="Duplicate"),
    "KeyTooLongError": RestAlias("InvalidKey"),
    "MalformedPOSTRequest": RestAlias("InvalidRequest"),
    "MaxMessageLengthExceeded": RestAlias("EntityTooLarge", 413, "Payload too large", "Request body is too large"),
    "MaxPostPreDataLengthExceeded": RestAlias("EntityTooLarge", 413, "Payload too large"),
    "NoSuchBucket": RestAlias(error="Bucket not found", message="Bucket not found"),
    "NoSuchKey": RestAlias(error="not_found", message="Object not found"),
    "NoSuchUpload": RestAlias(message="Upload not found"),
    "NoSuchVersion": RestAlias("NoSuchKey", 404, "not_found", "Object not found"),
    "SlowDown": RestAlias(None, 429, "too_many_connections"),
}


class StorageError(Exception):
    """A refusal or failure with a code of the catalogue.

    ``message`` replaces the catalogue's text; ``fields`` are the extra elements S3 puts beside it (``Key``,
    ``BucketName``, ``ArgumentName``…). Neither may hold a secret: both are shown to the caller.
    """

    def __init__(self, code: str, message: str | None = None, **fields: str) -> None:
        self.code: Final = CATALOGUE[code]
        self.message: Final = message if message is not None else self.code.message
        self.fields: Final[Mapping[str, str]] = fields
        super().__init__(f"{code}: {self.message}")


class StartupError(Exception):
    """A failure a person can cause and cure: a wrong setting, a taken port, a locked directory.

    The text is one line for that person. Commands print it to standard error and leave with status 1, without a
    traceback, so it must never hold a secret.
    """
