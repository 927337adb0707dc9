"""The product in one story."""

import pytest

from socialcrm.domain.case import is_reference
from socialcrm.engine.line import Line
from tests.story import Story

pytestmark = pytest.mark.both_databases


async def test_a_complaint_in_arabizi_is_acknowledged_routed_answered_resolved_scored_and_reported(line: Line) -> None:
    story = await Story.begin(line)
    amina = await story.agent("Amina", team="technique")

    await story.customer_writes("slm, la connexion ta3kom mayta men lbareh w 7ed ma jawebni, 3iyitouna")

    message, analysis = await story.last_understood()
    assert (analysis.language, analysis.sentiment, analysis.is_complaint) == ("arq-Latn", "negative", True)
    case = await story.case()
    assert is_reference(case.reference)
    acknowledgement = story.sent()[-1]
    assert case.reference in str(acknowledgement["text"])
    conversation = await story.conversation()
    assert (conversation.agent_id, conversation.status) == (amina.id, "open")
    assert "réseau" in conversation.labels
    trace = await story.trace(message)
    assert any(row["fired"] and "network" in row["rule"] for row in trace)

    await story.agent_answers(amina, "Ma t9el9ch, technicien yji ghodwa sbah 3andek.")
    assert story.sent()[-1]["text"] == "Ma t9el9ch, technicien yji ghodwa sbah 3andek."

    await story.agent_resolves(amina)
    question = story.sent()[-1]
    buttons = dict(map(tuple, question["buttons"]))  # type: ignore[call-overload]
    assert len(buttons) == 5

    await story.customer_presses(list(buttons.values())[3])
    await story.customer_writes("sa7a, rahi mli7a drouk")
    survey = await story.survey()
    assert (survey.score, survey.comment, survey.agent_id) == (4, "sa7a, rahi mli7a drouk", amina.id)
    assert (await story.conversation()).status == "resolved"

    report = await story.report()
    assert (report["sentiment"]["negative"], report["complaints"]["complaints"]) == (1, 1)
    assert (report["csat"]["mean"], report["csat"]["answered"]) == (4.0, 1)
