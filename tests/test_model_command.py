"""`socialcrm model`: judging, training and rolling back from a terminal."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from socialcrm.domain.rows import ModelVersion
from socialcrm.domain.teaching import Source
from socialcrm.engine.line import utc_now
from tests.engine.test_train import TALK
from tests.teaching import Archive
from tests.test_cli import Here, here, wide_terminal  # noqa: F401


def judge(here: Here) -> None:  # noqa: F811
    async def add(session: AsyncSession) -> None:
        made = Archive(session, utc_now())
        numbers = await made.messages(24)
        await made.say(numbers[:18], "intent", "other", "other")
        await made.say(numbers[18:], "intent", "other", "spam")
        await made.say(numbers[:3], "sentiment", "neutral", "negative", source=Source.INBOX)

    here.change(add)


def teach(here: Here) -> None:  # noqa: F811
    """Corrections of texts that any model reads otherwise."""

    async def add(session: AsyncSession) -> None:
        made = Archive(session, utc_now())
        for text in TALK:
            await made.say(await made.messages(text=text), "intent", "other", "spam")

    here.change(add)


def test_evaluate_shows_the_sample_first_and_says_where_there_is_too_little(here: Here) -> None:  # noqa: F811
    judge(here)
    result = here.run("model", "evaluate")
    assert result.exit_code == 0, result.stderr
    sample, inbox = result.stdout.split("Inbox:")
    assert "75% (55%–88%, n 24)" in sample
    assert "language fr" in sample
    assert "channel chat" in sample
    assert "model model-1" in sample
    assert "too few (3)" in inbox


def test_evaluate_as_json_has_every_figure(here: Here) -> None:  # noqa: F811
    judge(here)
    found = json.loads(here.run("model", "evaluate", "--json", "--days", "30").stdout)
    assert found["sample"]["fields"]["intent"]["share"] == 0.75
    assert found["inbox"]["fields"]["sentiment"] == {"count": 3, "right": 0, "share": None, "interval": None}
    spam = next(row for row in found["sample"]["label"] if row["label"] == "spam")
    assert (spam["field"], spam["found"]["count"], spam["found"]["right"]) == ("intent", 6, 0)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["train"], 2, "--from-corrections"),
        (["train", "--from-corrections"], 2, "50 more corrections are needed: there are 0 of 50."),
        (["rollback"], 2, "there is nothing to go back to"),
        (["list"], 0, "The shipped model is live."),
        (["evaluate"], 0, "Blind sample"),
        ([], 2, "evaluate"),
    ],
)
def test_an_empty_installation_gets_a_sentence(here: Here, arguments: list[str], code: int, said: str) -> None:  # noqa: F811
    result = here.run("model", *arguments)
    assert result.exit_code == code
    assert said in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_a_training_a_list_and_a_rollback(here: Here) -> None:  # noqa: F811
    teach(here)
    dry = here.run("model", "train", "--from-corrections", "--dry-run")
    assert dry.exit_code == 0, dry.stderr
    assert "It would go live." in dry.stdout
    assert here.rows(ModelVersion) == []
    trained = here.run("model", "train", "--from-corrections")
    assert "Version 1 is live." in trained.stdout
    listed = here.run("model", "list")
    assert "command line" in listed.stdout
    assert listed.stdout.endswith("Version 1 is live.\n")
    (row,) = json.loads(here.run("model", "list", "--json").stdout)
    assert (row["status"], row["made_by"]) == ("live", None)
    assert (Path("data/models") / row["path"]).exists()
    assert "The shipped model is live again." in here.run("model", "rollback").stdout


def test_the_doctor_names_a_version_that_cannot_be_loaded_and_a_shift(here: Here) -> None:  # noqa: F811
    async def damage(session: AsyncSession) -> None:
        row = ModelVersion(path="gone.npz", name="gone", made_at=utc_now(), status="live")
        session.add(row)

    async def shift(session: AsyncSession) -> None:
        made = Archive(session, utc_now())
        await made.messages(300, at=utc_now() - timedelta(days=2), is_complaint=True)
        await made.messages(300, at=utc_now() - timedelta(days=12))

    here.change(shift)
    here.change(damage)
    result = here.run("doctor")
    assert result.exit_code == 1
    assert "Version 1 cannot be loaded, the shipped model is at work" in result.stdout
    assert "complaint “complaint” went from 0% to 100% of all messages" in result.stdout
