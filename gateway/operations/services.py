"""What operations work with: the tenant's database, its stores of bytes, and the limits. Built once by ``app.py``."""

from dataclasses import dataclass, field

from gateway.blobs.locator import BlobStores
from gateway.jobs.health import Readiness
from gateway.metadata.lifecycle import RuleMemory
from gateway.metadata.session import Session
from gateway.operations.cors_rules import CorsRules
from gateway.operations.delivery import Delivery
from gateway.operations.encryption import Encryption


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for, in bytes."""

    max_object_bytes: int
    max_put_bytes: int
    inline_max_bytes: int


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a handler may use."""

    session: Session
    blobs: BlobStores
    limits: Limits
    cors_rules: CorsRules = field(default_factory=CorsRules)
    encryption: Encryption = field(default_factory=Encryption)
    rules: RuleMemory = field(default_factory=RuleMemory)
    delivery: Delivery | None = None
    readiness: Readiness | None = None
