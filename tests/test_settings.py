"""Settings: every mistake is one sentence with the key's name, and the example file is true."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from config.settings import Settings, SettingsError, load_settings

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "config" / "socialcrm.example.toml"


@pytest.fixture(autouse=True)
def in_a_folder_without_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def mistake(toml: str) -> str:
    """What is said about a file."""
    Path("socialcrm.toml").write_text(toml, encoding="utf-8")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    return str(raised.value)


def test_without_a_file_the_defaults_hold() -> None:
    settings = load_settings()
    assert settings == Settings()
    assert settings.database_url == f"sqlite:///{Path('data/socialcrm.db')}"
    assert settings.public_url == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[web]\nprot = 1", ["web.prot", "is not a setting", "Did you mean web.port?"]),
        ("[wbe]\nport = 1", ["wbe", "is not a setting", "Did you mean web?"]),
        ("[understanding.thresholds]\nsentimant = 0.1", ["Did you mean understanding.thresholds.sentiment?"]),
        ("[web]\nqqq = 1", ["web.qqq", "is not a setting"]),
        ("[web]\nport = 'many'", ["web.port", "a valid integer", "'many'", "SOCIALCRM_WEB__PORT"]),
        ("[web]\nport = 70000", ["web.port", "less than or equal to 65535", "70000"]),
        ("[line]\nbatch = 0", ["line.batch", "greater than or equal to 1", "it is 0"]),
        ("[understanding.thresholds]\nlanguage = 2", ["understanding.thresholds.language", "1", "it is 2"]),
        (
            "[understanding.sentiment]\nbackend = 'torch'",
            ["understanding.sentiment.backend", "'onnx' or 'transformer'"],
        ),
        ("[understanding.sentiment]\nbackend = 'transformer'", ["understanding.sentiment.model", "name on the hub"]),
        ("[understanding.intent]\nmodel = 'org/name'", ["understanding.intent.model", "backend set to 'transformer'"]),
        ("[understanding.intent]\nlabels = {a = 'spam'}", ["understanding.intent.model", "its labels are given"]),
        ("[understanding.transformer]\ndevice = 'gpu'", ["understanding.transformer.device", "'cpu', 'mps'", "'gpu'"]),
        ("[engagement]\ndefault_language = 'de'", ["engagement.default_language", "'fr', 'ar' or 'en'", "'de'"]),
        ("[engagement]\ntime_zone = 'Algiers'", ["engagement.time_zone", "time zone", "'Algiers'"]),
        ("[engagement]\ntime_zone = '../passwd'", ["engagement.time_zone", "time zone"]),
        ("web = 7", ["web", "it is 7"]),
        ("[web\nport = 1", ["socialcrm.toml is not valid TOML", "line 1"]),
        ("[web]\nport = 1\nport = 2", ["socialcrm.toml is not valid TOML"]),
    ],
)
def test_a_mistake_is_one_sentence_with_the_name_of_the_key(toml: str, said: list[str]) -> None:
    sentence = mistake(toml)
    assert "\n" not in sentence
    assert "pydantic" not in sentence
    for part in said:
        assert part in sentence


def test_each_of_several_mistakes_has_a_sentence() -> None:
    first, second = mistake("[web]\nport = -1\n[survey]\nis_off = true").splitlines()
    assert first.startswith("web.port")
    assert second.startswith("survey.is_off")


def test_a_file_that_is_not_utf_8_or_a_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("socialcrm.toml").write_bytes(b"company = 'caf\xe9'")
    with pytest.raises(SettingsError, match=r"socialcrm\.toml is not valid TOML"):
        load_settings()
    Path("folder").mkdir()
    monkeypatch.setenv("SOCIALCRM_CONFIG", "folder")
    with pytest.raises(SettingsError, match="folder cannot be read: Is a directory"):
        load_settings()


def test_a_file_that_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"gone\.toml does not exist"):
        load_settings(Path("gone.toml"))
    monkeypatch.setenv("SOCIALCRM_CONFIG", "lost.toml")
    with pytest.raises(SettingsError, match=r"lost\.toml does not exist; SOCIALCRM_CONFIG"):
        load_settings()


def test_the_named_file_is_read_instead_of_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("socialcrm", "variable", "option"):
        Path(f"{name}.toml").write_text(f"company = '{name}'", encoding="utf-8")
    assert load_settings().company == "socialcrm"
    monkeypatch.setenv("SOCIALCRM_CONFIG", "variable.toml")
    assert load_settings().company == "variable"
    assert load_settings(Path("option.toml")).company == "option"


def test_the_environment_wins_over_the_file_key_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("socialcrm.toml").write_text("[web]\nport = 9000\nhost = 'file'\n[survey]\nis_on = false", encoding="utf-8")
    monkeypatch.setenv("SOCIALCRM_WEB__PORT", "9001")
    monkeypatch.setenv("SOCIALCRM_UNDERSTANDING__THRESHOLDS__INTENT", "0.9")
    settings = load_settings()
    assert (settings.web.port, settings.web.host, settings.survey.is_on) == (9001, "file", False)
    assert (settings.understanding.thresholds.intent, settings.understanding.thresholds.language) == (0.9, 0.5)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SOCIALCRM_WEB__PORT", "none", "web.port"),
        ("SOCIALCRM_WEB__PROT", "1", "Did you mean web.port?"),
        ("SOCIALCRM_WEB", "{no json", "web"),
    ],
)
def test_a_mistake_in_the_environment_is_a_sentence_too(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=re.escape(said)):
        load_settings()


def test_one_threshold_leaves_the_others_as_they_are() -> None:
    Path("socialcrm.toml").write_text("[understanding.thresholds]\nlanguage = 0.7", encoding="utf-8")
    assert load_settings().understanding.thresholds.model_dump() == {
        "language": 0.7,
        "sentiment": 0.5,
        "complaint": 0.6,
        "intent": 0.4,
        "reason": 0.4,
    }


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().web.port = 1  # type: ignore[misc]


def test_the_public_address_has_no_slash_at_its_end() -> None:
    assert load_settings(web={"public_url": "https://crm.example/"}).public_url == "https://crm.example"


def leaves(values: Any, path: str = "") -> dict[str, Any]:
    """Every setting by its whole name."""
    found: dict[str, Any] = {}
    items = (
        {key: getattr(values, key) for key in type(values).model_fields} if isinstance(values, BaseModel) else values
    )
    for key, value in items.items():
        name = f"{path}.{key}".lstrip(".")
        found |= leaves(value, name) if isinstance(value, BaseModel | dict) else {name: value}
    return found


def test_the_example_names_every_setting_and_its_true_default() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    uncommented = re.sub(r"^#(?=[a-z_]+ = )", "", text, flags=re.MULTILINE)
    written = leaves(tomllib.loads(uncommented))
    expected = leaves(Settings())
    assert list(written) == list(expected)
    for name, default in expected.items():
        value: Any = written[name]
        if isinstance(default, Path):
            value = ROOT / value if default.is_absolute() else Path(value)
        assert (value or None) == (default or None), name
    Path("socialcrm.toml").write_text(uncommented.replace('"config/', f'"{ROOT.as_posix()}/config/'), encoding="utf-8")
    assert load_settings() == Settings()


def test_the_example_as_it_is_changes_nothing_and_says_what_each_setting_means() -> None:
    Path("socialcrm.toml").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    assert load_settings() == Settings()
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    sections = [line for line in lines if line.startswith("[")]
    assert len(sections) == 21
    for before, line in pairwise(lines):
        is_said_above = line.split(" ")[0] in (
            *("#sentiment", "#complaint", "#intent", "#reason", "#replies", "#faq", "#language"),
            *("#backend", "#model", "#labels"),
        )
        assert before.startswith("# ") or not re.match("#[a-z]", line) or is_said_above, f"not a word on {line}"
