"""Bucket policies: from AWS's JSON to the normal form that the functions of ``sql/tenant/0016`` evaluate. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-policies.html
"""

from gateway.access_policy.document import MAX_POLICY_BYTES, Policy, parse

__all__ = ["MAX_POLICY_BYTES", "Policy", "parse"]
