"""What an S3 store said, for a person at a terminal. Clients of the gateway are never told."""

from botocore.exceptions import BotoCoreError, ClientError

from gateway.errors import StorageError


def reason_of(error: BaseException) -> str:
    """The store's own words where it said something, else why it could not be asked, else the error's."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ClientError):
            said = cause.response.get("Error", {})
            return f"the store answers {said.get('Code', '?')}: {said.get('Message', '')}".rstrip(": ")
        if isinstance(cause, BotoCoreError):
            return f"the store cannot be reached: {type(cause).__name__}"
        cause = cause.__cause__
    return error.message if isinstance(error, StorageError) else str(error)
