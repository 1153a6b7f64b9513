"""What the control database cannot store or lacks."""


class RegistryError(Exception):
    """What was asked for cannot be stored. The text is one line for the person who asked and holds no secret."""


class TakenError(RegistryError):
    """A name is in use, by somebody else or for good."""


class UnknownError(RegistryError):
    """There is no such tenant, key or migration."""
