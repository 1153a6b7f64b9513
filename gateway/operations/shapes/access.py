"""Who may do what: ACLs, policies, public access, ownership, CORS: typed inputs and outputs."""

from dataclasses import dataclass

from gateway.operations.shapes.common import Grantee, Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Container for grant information."""

    grantee: Grantee | None = None
    permission: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketAclInput:
    """What GetBucketAcl is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketAclOutput:
    """What GetBucketAcl answers."""

    owner: Owner | None = None
    grants: tuple[Grant, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetObjectAclInput:
    """What GetObjectAcl is asked."""

    bucket: str
    key: str
    version_id: str | None = None
    request_payer: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetObjectAclOutput:
    """What GetObjectAcl answers."""

    owner: Owner | None = None
    grants: tuple[Grant, ...] | None = None
    request_charged: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketPolicyInput:
    """What GetBucketPolicy is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketPolicyOutput:
    """What GetBucketPolicy answers."""

    policy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStatus:
    """The container element for a bucket's policy status."""

    is_public: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketPolicyStatusInput:
    """What GetBucketPolicyStatus is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketPolicyStatusOutput:
    """What GetBucketPolicyStatus answers."""

    policy_status: PolicyStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicAccessBlockConfiguration:
    """The PublicAccessBlock configuration that you want to apply to this Amazon S3 bucket."""

    block_public_acls: bool | None = None
    ignore_public_acls: bool | None = None
    block_public_policy: bool | None = None
    restrict_public_buckets: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetPublicAccessBlockInput:
    """What GetPublicAccessBlock is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetPublicAccessBlockOutput:
    """What GetPublicAccessBlock answers."""

    public_access_block_configuration: PublicAccessBlockConfiguration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnershipControlsRule:
    """The container element for an ownership control rule."""

    object_ownership: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnershipControls:
    """The container element for a bucket's ownership controls."""

    rules: tuple[OwnershipControlsRule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketOwnershipControlsInput:
    """What GetBucketOwnershipControls is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketOwnershipControlsOutput:
    """What GetBucketOwnershipControls answers."""

    ownership_controls: OwnershipControls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CORSRule:
    """Specifies a cross-origin access rule for an Amazon S3 bucket."""

    allowed_methods: tuple[str, ...]
    allowed_origins: tuple[str, ...]
    id: str | None = None
    allowed_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketCorsInput:
    """What GetBucketCors is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketCorsOutput:
    """What GetBucketCors answers."""

    cors_rules: tuple[CORSRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CORSConfiguration:
    """Describes the cross-origin access configuration for objects in an Amazon S3 bucket."""

    cors_rules: tuple[CORSRule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketCorsInput:
    """What PutBucketCors is asked."""

    bucket: str
    cors_configuration: CORSConfiguration
    content_md5: str | None = None
    checksum_algorithm: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketCorsOutput:
    """What PutBucketCors answers: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteBucketCorsInput:
    """What DeleteBucketCors is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteBucketCorsOutput:
    """What DeleteBucketCors answers: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessControlPolicy:
    """Contains the elements that set the ACL permissions for an object per grantee."""

    grants: tuple[Grant, ...] | None = None
    owner: Owner | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketAclInput:
    """What PutBucketAcl is asked."""

    bucket: str
    acl: str | None = None
    access_control_policy: AccessControlPolicy | None = None
    content_md5: str | None = None
    checksum_algorithm: str | None = None
    grant_full_control: str | None = None
    grant_read: str | None = None
    grant_read_acp: str | None = None
    grant_write: str | None = None
    grant_write_acp: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketAclOutput:
    """What PutBucketAcl answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PutObjectAclInput:
    """What PutObjectAcl is asked."""

    bucket: str
    key: str
    acl: str | None = None
    access_control_policy: AccessControlPolicy | None = None
    content_md5: str | None = None
    checksum_algorithm: str | None = None
    grant_full_control: str | None = None
    grant_read: str | None = None
    grant_read_acp: str | None = None
    grant_write: str | None = None
    grant_write_acp: str | None = None
    request_payer: str | None = None
    version_id: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutObjectAclOutput:
    """What PutObjectAcl answers."""

    request_charged: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketPolicyInput:
    """What PutBucketPolicy is asked."""

    bucket: str
    policy: str
    content_md5: str | None = None
    checksum_algorithm: str | None = None
    confirm_remove_self_bucket_access: bool | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketPolicyOutput:
    """What PutBucketPolicy answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteBucketPolicyInput:
    """What DeleteBucketPolicy is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteBucketPolicyOutput:
    """What DeleteBucketPolicy answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PutPublicAccessBlockInput:
    """What PutPublicAccessBlock is asked."""

    bucket: str
    public_access_block_configuration: PublicAccessBlockConfiguration
    content_md5: str | None = None
    checksum_algorithm: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutPublicAccessBlockOutput:
    """What PutPublicAccessBlock answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePublicAccessBlockInput:
    """What DeletePublicAccessBlock is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePublicAccessBlockOutput:
    """What DeletePublicAccessBlock answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketOwnershipControlsInput:
    """What PutBucketOwnershipControls is asked."""

    bucket: str
    ownership_controls: OwnershipControls
    content_md5: str | None = None
    expected_bucket_owner: str | None = None
    checksum_algorithm: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketOwnershipControlsOutput:
    """What PutBucketOwnershipControls answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteBucketOwnershipControlsInput:
    """What DeleteBucketOwnershipControls is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteBucketOwnershipControlsOutput:
    """What DeleteBucketOwnershipControls answers."""
