"""Every setting that dispatch reads from the environment or from `.env`, each with the prefix `DISPATCH_`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from dispatch._units import as_duration_ns, share, size
from dispatch.errors import NotConfigured

_SHORTEST_KEY = 32
"""Characters."""
_MOST_KEYS = 2


class Settings(BaseSettings):
    """Read once, when the dispatcher is made; never at import."""

    model_config = SettingsConfigDict(
        env_prefix="DISPATCH_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, defer_build=True
    )

    policy: str | None = Field(
        default=None,
        description="Policy in force: the name of a ready one, a path, or several paths joined by commas, "
        "the later overlaying the earlier.",
    )
    watch: bool = Field(
        default=False,
        description="Follow the policy's files: a change of them is reloaded. Needs the extra `watch`.",
    )
    broker_url: SecretStr | None = Field(
        default=None,
        description="Celery's broker, for `dispatch.celery_app()`: redis://… or amqp://…",
    )
    result_backend: SecretStr | None = Field(
        default=None,
        description="Where results of Celery calls are kept, when the Celery app has no backend of its own.",
    )
    celery_app: str | None = Field(
        default=None,
        description="The application's own Celery app, as `module:attribute`.",
    )
    application: str | None = Field(
        default=None,
        description="Names this application's spool; without it no call is spooled.",
    )
    spool_dir: Path | None = Field(
        default=None,
        description="Folder of the spool's file; by default `$XDG_STATE_HOME/dispatch`, or `~/.local/state/dispatch`.",
    )
    payload_store: SecretStr | None = Field(
        default=None,
        description="Where payloads over a destination's `claim_check_over` are kept: file:///a/shared/folder, or "
        "redis://…; by default the broker, if that is a Redis.",
    )
    signing_key: SecretStr | None = Field(
        default=None,
        description="Signs calls that go through a broker; workers run no others. Two, joined by a comma: the first "
        "signs, both are known.",
    )
    signing_window: str = Field(
        default="1d",
        description="How old a signed message may be that no ledger remembers.",
    )
    shutdown_grace: str = Field(
        default="10s",
        description="How long an exit, or `dispatch.shutdown()`, waits for calls that have started or are waiting.",
    )
    memory_high: str = Field(
        default="90%",
        description="Memory above which local destinations take nothing new: a share of this process's limit, a size "
        "of this process itself such as `400MiB`, or `off`.",
    )
    memory_low: str | None = Field(
        default=None,
        description="Memory below which they take calls again, as a share or a size like the high mark; by default "
        "eight ninths of that.",
    )
    telemetry: Literal["auto", "off"] = Field(
        default="auto",
        description="`off`: no spans and no metrics, whatever the application has set up.",
    )
    metrics: Literal["off", "counters", "default", "all"] = Field(
        default="default",
        description="Which metrics there are: `counters` (and gauges), the usual histograms too, or every histogram.",
    )
    trace_detail: Literal["off", "compact", "full", "debug"] = Field(
        default="full",
        description="How much a call leaves: `compact` one span where it can, `full` one for the hand-over and one for "
        "the run, `debug` also one for each step of the hand-over.",
    )
    trace_relation: Literal["child", "link", "auto"] = Field(
        default="child",
        description="How the span of a run belongs to its caller's: below it, or in a trace of its own that is linked "
        "to it. `auto`: linked where it runs much later, or again.",
    )
    recorder: int = Field(
        default=4096,
        ge=0,
        le=1_000_000,
        description="How many finished calls the recorder remembers; 0: none.",
    )
    trace_dir: Path = Field(
        default=Path("traces"),
        description="Where `dispatch.telemetry.setup()` writes trace files and `dispatch traces` looks for them.",
    )
    trace_file_size: str = Field(
        default="16MiB",
        description="Size that a trace file does not grow over: the next one begins.",
    )
    trace_files: int = Field(
        default=8,
        ge=1,
        le=1000,
        description="How many trace files of one process are kept, the one that it writes included.",
    )
    trace_dir_size: str = Field(
        default="1GiB",
        description="Size of all trace files beyond which the oldest of processes that have ended are removed.",
    )
    trace_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Share of new traces that `dispatch.telemetry.setup()` has recorded; `OTEL_TRACES_SAMPLER` wins.",
    )

    @field_validator("shutdown_grace")
    @classmethod
    def _is_a_duration(cls, value: str) -> str:
        as_duration_ns(value, or_none=True)
        return value

    @field_validator("signing_key")
    @classmethod
    def _is_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        keys = _split(value)
        if value is not None and not 1 <= len(keys) <= _MOST_KEYS:
            raise ValueError(f"it holds {len(keys)} keys, and takes one, or two that are joined by a comma")
        if any(len(key) < _SHORTEST_KEY for key in keys):
            raise ValueError(
                f"a key has fewer than {_SHORTEST_KEY} characters, and could be guessed: "
                "openssl rand -base64 32 makes a good one"
            )
        return value

    @field_validator("signing_window")
    @classmethod
    def _is_a_window(cls, value: str) -> str:
        if not as_duration_ns(value, or_none=True):
            raise ValueError(f"{value!r} leaves no time to run anything: write 1d, for example")
        return value

    @property
    def signing_keys(self) -> tuple[str, ...]:
        """The first signs, all are known; none: nothing is signed."""
        return _split(self.signing_key)

    @property
    def signing_window_ns(self) -> int:
        return as_duration_ns(self.signing_window, or_none=True)

    @field_validator("trace_file_size", "trace_dir_size")
    @classmethod
    def _is_a_size(cls, value: str) -> str:
        if size(value) == 0:
            raise ValueError(f"{value!r} holds nothing: write 16MiB, for example")
        return value

    @field_validator("memory_high", "memory_low")
    @classmethod
    def _is_a_mark(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and (value != "off" or info.field_name == "memory_low"):
            _mark(value)
        return value

    @field_validator("memory_low")
    @classmethod
    def _is_below(cls, value: str | None, info: ValidationInfo) -> str | None:
        high = info.data.get("memory_high", "off")
        if value is not None and high != "off":
            (low_shares, low), (shares, limit) = _mark(value), _mark(high)
            if low_shares is not shares:
                raise ValueError(f"{value!r} cannot be compared with the high mark of {high}: write both alike")
            if low >= limit:
                raise ValueError(f"{value!r} is not below the high mark of {high}")
        return value

    @field_validator("broker_url", "result_backend", "payload_store")
    @classmethod
    def _is_an_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and "://" not in value.get_secret_value():
            raise ValueError("it is no address: write redis://host:6379/0, or amqp://…")
        if value is not None and not all(map(_has_port, value.get_secret_value().split(";"))):
            # Whoever stumbles over it later shows it, and it may be half of a password.
            raise ValueError("its port is no number: in a password write / as %2F, # as %23, ? as %3F and @ as %40")
        return value


def _mark(text: str) -> tuple[bool, float]:
    """Whether it is a share, and how much. Raises `ValueError` with the cure."""
    part = share(text)
    if part is not None:
        return True, part
    try:
        amount = size(text)
    except ValueError:
        amount = 0
    if not amount:
        raise ValueError(f"{text!r} is no mark: write 90%, or a size such as 400MiB; `off` is for the high one alone")
    return False, amount


def _has_port(url: str) -> bool:
    """Whether its port can be read, where it has one."""
    try:
        urlsplit(url).port  # noqa: B018 - a property that raises
    except ValueError:
        return False
    return True


def _split(keys: SecretStr | None) -> tuple[str, ...]:
    return () if keys is None else tuple(filter(None, map(str.strip, keys.get_secret_value().split(","))))


def read_settings() -> Settings:
    """The settings of the environment. Raises `NotConfigured`, naming each variable that cannot be used."""
    try:
        return Settings()
    except ValidationError as error:
        faults = [f"DISPATCH_{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors()]
        raise NotConfigured("; ".join(faults)) from None
    except UnicodeDecodeError as error:
        raise NotConfigured(f".env in {Path.cwd()} is not UTF-8 text: {error}") from None
