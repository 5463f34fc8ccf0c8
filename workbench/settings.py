"""What the owner decides at start: options, then environment, then a file.

``python app.py --port 7861`` beats ``TRILOGY_PORT=7861``, which beats
``port = 7861`` in ``trilogy.toml`` (or the file that ``TRILOGY_CONFIG`` names).
This module does not know what the settings are used for.
"""

from __future__ import annotations

import os
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from workbench.errors import BadSettings
from workbench.rights import Limits

PERSISTENT = Path("/data")
"""Where a Space keeps what must outlive a restart, if it has storage."""


def _kept_on_space() -> bool:
    return os.environ.get("SYSTEM") == "spaces" and os.access(PERSISTENT, os.W_OK)


def default_workspace() -> Path:
    """Beside the project; on a Space with persistent storage, there."""
    return PERSISTENT / "workspace" if _kept_on_space() else Path("workspace")


def default_cache() -> Path:
    """Where converted models are kept, outside the project and the workspace."""
    if _kept_on_space():
        return PERSISTENT / "cache"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "trilogy"


TABS = ("compare", "prompts", "data", "tune", "chat")


def _named(tabs: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in tabs.split(",") if name.strip()))


class Settings(BaseSettings):
    """The workbench's settings. The text of each field is its ``--help`` line."""

    model_config = SettingsConfigDict(
        env_prefix="TRILOGY_",
        extra="ignore",
        populate_by_name=True,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_prog_name="python app.py",
    )

    host: str | None = Field(None, description="address to listen on (default: this machine only)")
    port: int | None = Field(None, ge=0, le=65535, description="port (default: 7860 or next free)")
    workspace: Path = Field(
        default_factory=default_workspace, description="folder for results, datasets and runs"
    )
    cache: Path = Field(default_factory=default_cache, description="folder for converted models")
    memory_gb: float | None = Field(
        None, gt=0, description="memory that loaded models may take, in GB (default: 80% of free)"
    )
    max_text_mb: float = Field(10, gt=0, description="largest text that is scored, in MB")
    max_data_mb: float = Field(
        10_000, gt=0, description="largest dataset file that is read, unpacked, in MB"
    )
    hub_token: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("TRILOGY_HUB_TOKEN", "HF_TOKEN", "hub_token"),
        description="access token for gated models on the Hub",
    )
    allowed_models: list[str] = Field(
        [], description="models that guests may load besides the bundled"
    )
    share: bool = Field(
        False, description="let others in: print a link for guests and one for the owner"
    )
    tunnel: bool = Field(
        True, description="with --share, also ask Gradio for a public address (--no-tunnel: do not)"
    )
    demo: str = Field("", description="tabs to show, with commas: chat,compare (default: all)")
    mcp: bool = Field(False, description="offer the API to agents too, as an MCP server")
    guest_requests: int = Field(200, ge=0, description="what one guest may ask for in an hour")
    guest_tokens: int = Field(40_000, ge=0, description="tokens one guest may have in an hour")
    guest_seconds: float = Field(900, ge=0, description="seconds of computing a guest may use")
    guest_shares: float = Field(
        20, ge=0, description="so many guests' quotas are what all guests may use together"
    )
    guest_upload_mb: float = Field(50, gt=0, description="largest file a guest may bring, in MB")
    trust_remote_code: bool = Field(
        False, description="let model repositories run their own code (dangerous)"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_style: Literal["json", "text"] = "text"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = Path(os.environ.get("TRILOGY_CONFIG", "trilogy.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)

    @field_validator("demo")
    @classmethod
    def _known_tabs(cls, value: str) -> str:
        unknown = [name for name in _named(value) if name not in TABS]
        if unknown:
            raise ValueError(f"there is no tab {unknown[0]}; there are {', '.join(TABS)}")
        return value

    @property
    def shown_tabs(self) -> tuple[str, ...]:
        """The tabs of the page, in the order they are named."""
        return _named(self.demo) or TABS

    @property
    def limits(self) -> Limits:
        """What guests may use."""
        return Limits(self.guest_requests, self.guest_tokens, self.guest_seconds, self.guest_shares)

    @property
    def max_data_bytes(self) -> int:
        return int(self.max_data_mb * 1_000_000)

    @property
    def max_text_bytes(self) -> int:
        return int(self.max_text_mb * 1_000_000)

    @property
    def token(self) -> str | None:
        return self.hub_token.get_secret_value() if self.hub_token else None


def from_options(arguments: list[str] | None = None) -> Settings:
    """Read the settings of a start: these options, the environment, the file.

    Raises:
        BadSettings: a value is out of its range, or the file is not TOML.
    """
    return load(_cli_parse_args=True if arguments is None else arguments)


def load(**chosen: Any) -> Settings:
    """Settings from the environment and the file, with some chosen here.

    Raises:
        BadSettings.
    """
    try:
        return Settings(**chosen)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "a value"
        raise BadSettings(reason=f"{name}: {first['msg'].lower()}") from None
    except (TOMLDecodeError, SettingsError) as error:
        raise BadSettings(reason=" ".join(str(error).split())) from None
