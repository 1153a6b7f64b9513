"""``rowlock config``: every setting, its value, where that came from, and what it means."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from cyclopts import Parameter
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from gateway.aliases import alias_of
from gateway.config import Settings
from gateway.errors import StartupError

MASK: Final = "**********"


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The settings that are flags too.

    Parameters
    ----------
    data_dir
        Directory of the files, the embedded Postgres and the keys (./rowlock-data).
    host
        Address to listen on (127.0.0.1); 0.0.0.0 or :: for all.
    port
        Port of the S3 API (9000); 0 takes a free one.
    region
        Region that requests must be signed for (us-east-1).
    workers
        Worker processes (one a processor).
    domain
        Base domain of virtual-host style addresses, e.g. s3.example.com.
    tls_cert
        Certificate chain in PEM; with --tls-key the server speaks https.
    tls_key
        Private key in PEM.
    postgres_bin
        Directory of initdb and postgres for the embedded server.
    postgres_user
        System user of the embedded Postgres when started by root.
    drain_seconds
        Time running requests get after SIGTERM (60).
    log_format
        json, pretty, or auto: pretty on a terminal.
    log_level
        Least level written (info).
    """

    data_dir: Path | None = None
    host: str | None = None
    port: int | None = None
    region: str | None = None
    workers: int | None = None
    domain: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    postgres_bin: Path | None = None
    postgres_user: str | None = None
    drain_seconds: float | None = None
    log_format: Literal["auto", "json", "pretty"] | None = None
    log_level: Literal["debug", "info", "warning", "error"] | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the manual."""

    name: str
    variable: str
    default: str | None
    value: str | None
    source: str
    description: str


def load_settings(**flags: Any) -> Settings:
    """The settings: flags that were given, then the environment, then the defaults.

    Raises StartupError with one line for each wrong value, naming its variable.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False, include_context=False):
            name = str(problem["loc"][0]) if problem["loc"] else ""
            shown = "" if _is_secret(name) else f", not {str(problem['input'])[:100]!r}"
            where = f"--{name.replace('_', '-')}" if name in given else _said_by(name)
            lines.append(f"{where}: {problem['msg'][:1].lower()}{problem['msg'][1:]}{shown}")
        raise StartupError("\n".join(lines)) from error


def settings_table(settings: Settings, **flags: Any) -> list[Setting]:
    """Every setting in the order of the class. Secrets are masked, defaults included."""
    given = {name for name, value in flags.items() if value is not None}
    present = {name.upper() for name, value in os.environ.items() if value}
    table = []
    for name, field in Settings.model_fields.items():
        variable = _variable(name)
        alias = alias_of(name, os.environ)
        source = "flag" if name in given else "environment" if variable in present else "default"
        if source == "default" and alias is not None:
            source = f"environment ({alias})"
        table.append(
            Setting(
                name, variable, _shown(field.default), _shown(getattr(settings, name)), source, field.description or ""
            )
        )
    return table


def config(*, flags: Flags | None = None, as_json: Annotated[bool, Parameter(name="--json")] = False) -> int:
    """Print every setting: its environment variable, value, source, default and meaning. Secrets are masked.

    Parameters
    ----------
    as_json
        Print one JSON array instead of text.
    """
    given = asdict(flags or Flags())
    table = settings_table(load_settings(**given), **given)
    if as_json:
        names = ("name", "variable", "default", "value", "source", "description")
        print(json.dumps([{name: getattr(setting, name) for name in names} for setting in table], indent=2))
        return 0
    for setting in table:
        value = "(unset)" if setting.value is None else setting.value
        origin = setting.source
        if origin != "default" and setting.default is not None:
            origin = f"{origin}, default {setting.default}"
        print(f"{setting.variable} = {value}  [{origin}]\n    {setting.description}")
    return 0


def _field(name: str) -> FieldInfo | None:
    for known, field in Settings.model_fields.items():
        if name == known or name == field.validation_alias:
            return field
    return None


def _variable(name: str) -> str:
    field = _field(name)
    if field is not None and isinstance(field.validation_alias, str):
        return field.validation_alias
    return f"{Settings.model_config.get('env_prefix', '')}{name}".upper()


def _said_by(name: str) -> str:
    """The variable a value came from: ours, or storage-api's."""
    variable = _variable(name)
    return variable if os.environ.get(variable) else alias_of(name, os.environ) or variable


def _is_secret(name: str) -> bool:
    field = _field(name)
    return field is None or "SecretStr" in str(field.annotation)


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    return MASK if isinstance(value, SecretStr) else str(value)
