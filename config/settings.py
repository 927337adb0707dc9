"""Settings: typed and frozen, from a TOML file and the environment; every mistake is one sentence with the key's name.

Order, later wins: the defaults here, the TOML file (`socialcrm.toml`, or what SOCIALCRM_CONFIG names), the environment
(`SOCIALCRM_WEB__PORT=9000` sets `web.port`).
"""

import os
import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableVariable

HERE = Path(__file__).parent


class SettingsError(Exception):
    """One sentence per mistake, each with the key's name and what was expected."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Web(Section):
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    public_url: str = ""
    """Address customers and platforms reach us under; empty: http://host:port."""
    is_behind_proxy: bool = False
    """Trust X-Forwarded-For for rate limits and lock-out."""
    session_hours: float = Field(default=12, gt=0)


class Storage(Section):
    folder: Path = Path("data")
    """Holds the SQLite file, the encryption key and attachments."""
    database: str = ""
    """sqlite:///path or postgresql://user:password@host:port/name; empty: socialcrm.db in the folder."""
    attachment_mb: float = Field(default=50, gt=0)
    """Largest file that is kept, in megabytes."""
    attachment_days: float = Field(default=0, ge=0)
    """Files are deleted so long after they came; 0: never."""


class Line(Section):
    batch: int = Field(default=500, ge=1, le=5000)
    """Rows per step and transaction."""
    idle_seconds: float = Field(default=1.0, gt=0)
    """How often rows written by other processes are looked for."""
    deliver_at_once: int = Field(default=16, ge=1, le=100)
    """Texts on their way to one channel at the same time."""
    lease_seconds: float = Field(default=300, gt=0)
    """A claimed item of a process that is not heard of any more is reconciled after this."""
    send_timeout_seconds: float = Field(default=60, gt=0)
    max_attempts: int = Field(default=10, ge=1)


class Thresholds(Section):
    """Below this score a field is "unsure"."""

    language: float = Field(default=0.5, ge=0, le=1)
    sentiment: float = Field(default=0.5, ge=0, le=1)
    complaint: float = Field(default=0.6, ge=0, le=1)
    intent: float = Field(default=0.4, ge=0, le=1)
    reason: float = Field(default=0.4, ge=0, le=1)


class Backend(Section):
    """What fills one field: our model, or a Hugging Face text classifier instead."""

    backend: Literal["onnx", "transformer"] = "onnx"
    labels: dict[str, str] = {}
    """The classifier's labels -> ours; "" ignores one."""
    model: str = Field(default="", validate_default=True)
    """Of backend transformer: a name on the hub or a folder."""

    @field_validator("model")
    @classmethod
    def _goes_with_its_backend(cls, value: str, others: ValidationInfo) -> str:
        match others.data:
            case {"backend": "transformer"} if not value:
                raise ValueError("a classifier's name on the hub or its folder, for backend is 'transformer'")
            case {"backend": "onnx"} if value:
                raise ValueError("left out, or backend set to 'transformer'")
            case {"backend": "onnx", "labels": labels} if labels:
                raise ValueError("a classifier, with backend 'transformer', for its labels are given")
        return value


class Transformer(Section):
    """How the models of backend transformer run."""

    batch: int = Field(default=32, ge=1, le=1024)
    """Texts that run together."""
    max_tokens: int = Field(default=128, ge=8, le=8192)
    """Read of a text; the rest is cut off."""
    device: str = "cpu"

    @field_validator("device")
    @classmethod
    def _of_torch(cls, value: str) -> str:
        if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", value):
            raise ValueError("'cpu', 'mps', 'cuda', or one of several as in 'cuda:1'")
        return value


class Understanding(Section):
    models: Path | None = None
    """Folder with weights; empty: the shipped ones."""
    encoder: bool = True
    """False: the n-gram models alone, for machines with little memory or a flood of messages."""
    thresholds: Thresholds = Thresholds()
    language: Backend = Backend()
    sentiment: Backend = Backend()
    complaint: Backend = Backend()
    intent: Backend = Backend()
    reason: Backend = Backend()
    transformer: Transformer = Transformer()

    @field_validator("models", mode="before")
    @classmethod
    def _empty_is_shipped(cls, value: Any) -> Any:
        return value or None


class Engagement(Section):
    rules: Path = HERE / "rules.toml"
    replies: Path = HERE / "replies"
    faq: Path = HERE / "faq.toml"
    auto_answer_window_hours: float = Field(default=12, ge=0)
    """Never two automatic answers to one person within it."""
    chats_per_agent: int = Field(default=4, ge=1)
    reopen_days: float = Field(default=7, ge=0)
    """A message after a longer silence opens a new conversation."""
    default_language: Literal["fr", "ar", "en"] = "fr"
    time_zone: str = "Africa/Algiers"

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            raise ValueError("the name of a time zone, such as Africa/Algiers") from None
        return value


class Suggestion(Section):
    is_on: bool = True
    """Show agents answers to choose from."""
    answers: int = Field(default=20_000, ge=0)
    """The newest earlier answers that are searched."""


class Survey(Section):
    """The standard survey, as long as no other was made on the page; `is_on`, `comment_minutes` hold for all."""

    is_on: bool = True
    delay_seconds: float = Field(default=5, ge=0)
    expires_days: float = Field(default=7, gt=0)
    comment_minutes: float = Field(default=30, ge=0)
    """A text sent within this time of the score is the survey's comment."""
    share: float = Field(default=100, ge=0, le=100)
    """Percent of the resolutions that are followed by a survey."""
    rest_days: float = Field(default=1, ge=0)
    """Nobody gets two surveys within so many days, over all channels; 0: after each resolution."""
    quiet_hours: str = Field(default="", pattern=r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$")
    """Local time in which none is sent, such as 21:00-08:00."""
    remind_hours: float = Field(default=0, ge=0)
    """One reminder so long after the survey; 0: none."""
    low_score: int = Field(default=2, ge=0, le=5)
    """Supervisors are told of this score and lower ones; 0: of none."""


class Cases(Section):
    """Complaints that are followed."""

    low_hours: float = Field(default=40, gt=0)
    normal_hours: float = Field(default=16, gt=0)
    high_hours: float = Field(default=8, gt=0)
    critical_hours: float = Field(default=4, gt=0)
    """Working hours until a complaint of this severity should be solved."""
    warn_percent: float = Field(default=75, gt=0, lt=100)
    """Its owner is reminded when so much of the time has passed."""
    notice_percent: float = Field(default=90, gt=0, lt=100)
    """The customer is told of a delay when so much of it has passed, before the time is over."""
    most_notices: int = Field(default=2, ge=0)
    """Delays that are told without anybody writing why; further ones need a person."""
    tell_progress: bool = True
    """Tell the customer when work begins, unless an agent says otherwise."""
    tell_in_public: bool = False
    """Where a comment cannot be answered in private: ask and tell under it, in short texts without personal data."""
    public_closing: bool = True
    """Close a complaint that was a comment with a short answer under it too."""
    remind_days: float = Field(default=2, ge=0)
    """A customer who was asked whether it is solved, and is silent, is asked once more; 0: not."""
    silence_days: float = Field(default=5, gt=0)
    """Silence closes the complaint."""
    link_days: float = Field(default=30, ge=0)
    """A complaint of the same person for the same reason within it belongs to the one that is open."""
    incident_cases: int = Field(default=5, ge=2)
    """So many people who complain of the same thing ..."""
    incident_hours: float = Field(default=6, gt=0)
    """... within so many hours look like an incident."""
    critical_words: list[str] = [
        *(
            "avocat",
            "tribunal",
            "porter plainte",
            "en justice",
            "presse",
            "danger",
            "incendie",
            "électrocuté",
            "blessé",
        ),
        *("lawyer", "lawsuit", "sue you", "court case", "newspaper", "dangerous", "injured", "on fire"),
        *("محامي", "محكمة", "المحكمة", "للمحكمة", "العدالة", "الصحافة", "خطر", "حريق", "مجروح"),
        *("avoka", "mou7ami", "ma7kama", "lma7kama", "l3adala", "nchki bikom", "khatar"),
    ]
    """A complaint with one of these phrases is critical; every word of a phrase must be in it."""

    def hours(self, severity: str) -> float:
        """Working hours until a complaint of this severity should be solved."""
        return float(getattr(self, f"{severity}_hours"))


class Bot(Section):
    """What answers by itself; what it says and when is set on its page."""

    settle_seconds: float = Field(default=4, ge=0, le=120)
    """Several messages in a row, none later than this after the one before, are read as one."""
    flows: Path = HERE / "flows"
    """Of a fresh installation; each is edited on the page."""
    questions: Path = HERE / "faq_questions.jsonl"
    """Labelled questions that the FAQ's answers are measured with."""
    measured: Path = HERE / "faq_measured.json"
    """The figures of the shipped FAQ, model and questions."""


class Drafting(Section):
    """A language model that drafts answers for agents, behind an OpenAI-compatible address; nothing is sent by it."""

    is_on: bool = False
    base_url: str = "http://127.0.0.1:11434/v1"
    """Ollama on this machine; for others the address before /chat/completions."""
    model: str = Field(default="", validate_default=True)
    api_key: str = ""
    name: str = ""
    """What agents read on the button; empty: the model's name."""
    timeout_seconds: float = Field(default=60, gt=0, le=600)
    max_tokens: int = Field(default=400, ge=16, le=4000)
    temperature: float = Field(default=0.3, ge=0, le=2)

    @field_validator("model")
    @classmethod
    def _goes_with_being_on(cls, value: str, others: ValidationInfo) -> str:
        if others.data.get("is_on") and not value:
            raise ValueError("the name of a model, as the address knows it, for drafting is on")
        return value


class Sla(Section):
    """Promises to customers; the files are for a fresh installation, after it everything is edited on pages."""

    is_on: bool = True
    calendars: Path = HERE / "calendars.toml"
    policies: Path = HERE / "sla.toml"


class Rules(Section):
    may_call_private: bool = False
    """Webhooks may lead into a private network or to this machine."""
    trace_days: int = Field(default=365, ge=1)
    """For so long it can be seen why rules did what they did."""


class Mail(Section):
    """Our own mails, as to administrators when a channel is signed out; mails of customers go through their channel."""

    host: str = ""
    """SMTP server; empty: no mail is sent."""
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "ssl", "none"] = "starttls"
    username: str = ""
    password: str = ""
    sender: str = Field(default="", validate_default=True)
    """Address that they come from."""

    @field_validator("sender")
    @classmethod
    def _goes_with_its_server(cls, value: str, others: ValidationInfo) -> str:
        if others.data.get("host") and "@" not in value:
            raise ValueError("the address that mails come from, such as crm@company.example")
        return value


class Demo(Section):
    is_on: bool = False
    trickle_seconds: float = Field(default=12, gt=0)
    """Time between two messages of the live demo stream."""
    password: str = "wasla-demo"  # noqa: S105 - shown on the sign-in page of the demo
    """Of every demo account."""


class Settings(BaseSettings):
    """All settings of one installation."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="SOCIALCRM_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    company: str = "Wasla Télécom"
    web: Web = Web()
    storage: Storage = Storage()
    line: Line = Line()
    understanding: Understanding = Understanding()
    engagement: Engagement = Engagement()
    suggestion: Suggestion = Suggestion()
    survey: Survey = Survey()
    cases: Cases = Cases()
    sla: Sla = Sla()
    bot: Bot = Bot()
    drafting: Drafting = Drafting()
    mail: Mail = Mail()
    rules: Rules = Rules()
    demo: Demo = Demo()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings

    @property
    def database_url(self) -> str:
        """Where the rows are."""
        return self.storage.database or f"sqlite:///{self.storage.folder / 'socialcrm.db'}"

    @property
    def public_url(self) -> str:
        """Our address as others see it, without a slash at the end."""
        return (self.web.public_url or f"http://{self.web.host}:{self.web.port}").rstrip("/")


def load_settings(path: Path | None = None, **overrides: Any) -> Settings:
    """Read the settings; `overrides` are whole sections that win over the file. Raises SettingsError."""
    named = path or (Path(os.environ["SOCIALCRM_CONFIG"]) if "SOCIALCRM_CONFIG" in os.environ else None)
    file = named or Path("socialcrm.toml")
    values: dict[str, Any] = {}
    if file.exists():
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{file} is not valid TOML: {error}.") from error
        except OSError as error:
            raise SettingsError(f"{file} cannot be read: {error.strerror}.") from error
    elif named:
        raise SettingsError(f"{named} does not exist; SOCIALCRM_CONFIG or --config names it.")
    try:
        return Settings(**{**values, **overrides})
    except UnreadableVariable as error:
        raise SettingsError(f"A variable of the environment is not valid JSON: {error}.") from error
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(e, file) for e in error.errors())) from error


def _sentence(error: Any, file: Path) -> str:
    path = [str(part) for part in error["loc"]]
    key = ".".join(path)
    origin = f"{file} or the environment (SOCIALCRM_{'__'.join(path).upper()})"
    if error["type"] == "extra_forbidden":
        near = get_close_matches(path[-1], _known_keys(path[:-1]), n=1)
        hint = f" Did you mean {'.'.join([*path[:-1], near[0]])}?" if near else ""
        return f"{key} in {origin} is not a setting.{hint}"
    message = error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{key} in {origin} should be {message}; it is {error['input']!r}."


def _known_keys(path: list[str]) -> list[str]:
    model: Any = Settings
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    return list(getattr(model, "model_fields", {}))
