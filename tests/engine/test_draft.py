"""A language model drafts answers: it reads no personal data, and what it writes stays a draft."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from socialcrm.engine.draft import CannotDraft, Mask, draft
from socialcrm.engine.line import Line
from tests.engine.scripted import on_one_database
from tests.servers.completions import Completions, completions
from tests.story import Story, line_with


@pytest.fixture
async def model() -> AsyncIterator[Completions]:
    async with completions() as made:
        yield made


def drafting(line: Line, model: Completions, **more: Any) -> Line:
    values = {"is_on": True, "base_url": model.url, "model": "small", "api_key": "secret", **more}
    return line_with(line, None, drafting=values, bot={"settle_seconds": 60})


SECRET = "bonjour, c'est Karim Benali, rappelez-moi au 0550 12 34 56 ou à karim@example.com, commande CMD-88213"


@on_one_database
async def test_no_personal_data_reaches_the_model_and_what_it_repeats_comes_back(
    line: Line, model: Completions
) -> None:
    line = drafting(line, model)
    story = await Story.begin(line)
    await story.customer_writes(SECRET, author="karim", name="Karim Benali")
    phone = re.compile(r"\[phone-\d\]")
    model.says = lambda body: f"Bonjour, nous appelons le {phone.search(str(body))[0]}, [email-1] et [account-9]."  # type: ignore[index]
    text = await draft(line, (await story.conversation()).id or 0, ["Le 4000 répond à karim@example.com"])
    assert text == "Bonjour, nous appelons le 0550 12 34 56, karim@example.com et [account]."
    [asked] = model.asked
    assert model.keys == ["Bearer secret"]
    for secret in ("Karim", "Benali", "0550", "12 34", "karim@example.com", "88213"):
        assert secret not in str(asked), secret
    assert [message["role"] for message in asked["messages"]] == ["system", "user"]
    assert (asked["model"], asked["stream"]) == ("small", False)
    assert "French" in asked["messages"][0]["content"]
    assert story.sent() == [], "nothing is sent"
    assert len(await story.messages("out")) == 0


@on_one_database
async def test_whatever_is_wrong_is_said_in_words(line: Line, model: Completions) -> None:
    story = await Story.begin(drafting(line, model))
    await story.customer_writes("bonjour, j'ai une question sur mon contrat")
    number = (await story.conversation()).id or 0

    async def said(**more: Any) -> str:
        with pytest.raises(CannotDraft) as raised:
            await draft(drafting(line, model, **more), number)
        return str(raised.value)

    assert "switched off" in await said(is_on=False)
    assert "cannot be reached" in await said(base_url="http://127.0.0.1:9/v1")
    assert "address or name is wrong" in await said(base_url=model.url + "/nowhere")
    for status, words in ((401, "refuses our key"), (429, "too much to do"), (500, "error (500): out of memory")):
        model.status, model.body = status, {"error": {"message": "out of memory", "type": "x", "code": None}}
        assert words in await said()
    model.status, model.body = 200, {"choices": []}
    assert "OpenAI-compatible" in await said()
    model.body = None
    model.says = lambda body: "<think>hm</think>  "
    assert "wrote nothing" in await said()
    model.waits = 0.4
    assert "within 0.1 s" in await said(timeout_seconds=0.1)


def test_the_same_value_has_the_same_sign_and_another_one_another() -> None:
    mask = Mask("Lina")
    hidden = mask.hide("Lina: 0550123456, encore 0550 12 34 56, puis 0551234567")
    assert hidden == "[name-1]: [phone-1], encore [phone-1], puis [phone-2]"
    assert mask.show("[name-1], [phone-2] ou [phone-7]") == "Lina, 0551234567 ou [phone]"
