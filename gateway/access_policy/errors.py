"""The refusal of a policy, in AWS's words."""

from gateway.errors import StorageError


def malformed(message: str) -> StorageError:
    """400 MalformedPolicy; ``message`` says what is wrong with the document."""
    return StorageError("MalformedPolicy", message)
