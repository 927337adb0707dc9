"""The words of a survey in a customer's language: what stands in the form, else the standard replies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from socialcrm.domain.engagement import Engagement
from socialcrm.domain.question import NO, YES, Choice, is_scale, numbered
from socialcrm.domain.survey_form import NEAREST, OPINIONS, SCALES, SCORE, Form, Item, said

STANDARD = {"csat": "survey_question", "nps": "nps_question", "ces": "ces_question", "case_check": "case_question"}
SKIP = "skip"
OPINION_WORDS = {
    "perfect": ("parfait", "perfect", "ممتاز", "momtaz", "top", "excellent"),
    "passable": ("passable", "مقبول", "لا باس", "la bas", "moyen", "so so"),
    "bad": ("mauvais", "bad", "سيئ", "ماشي مليح", "machi mli7", "nul"),
    "none": ("sans avis", "no opinion", "بلا رأي"),
}


@dataclass(frozen=True)
class Wording:
    """How a survey speaks to one person."""

    engagement: Engagement
    form: Form
    language: str
    company: str
    default: str = "fr"

    def reply(self, key: str, **values: object) -> str:
        """A standard text."""
        return self.engagement.reply(self.language, key, company=self.company, **values)

    def question(self, item: Item) -> str:
        """What is asked."""
        if item.id == SCORE:
            return self.own() or self.reply(STANDARD[self.form.kind])
        return said(item.text, self.language, self.default)

    def own(self) -> str:
        """The admin's words for the question that gives the score; empty where the standard ones are used."""
        texts: Mapping[str, str] = {str(language): text for language, text in self.form.text.items()}
        return texts.get(self.language) or texts.get(NEAREST.get(self.language, ""), "")

    def intro(self) -> str:
        """What stands above a questionnaire; empty above a single question."""
        if self.form.kind != "questionnaire":
            return ""
        return said(self.form.text, self.language, self.default) or self.reply("survey_form")

    def choices(self, item: Item) -> list[Choice]:
        """The answers to choose from."""
        match item.type:
            case "scale":
                return [Choice(value, self._step(item, value)) for value in item.values]
            case "yes_no":
                is_case = item.id == SCORE and self.form.kind == "case_check"
                yes, no = ("case_yes", "case_no") if is_case else ("survey_yes", "survey_no")
                return [Choice("yes", self.reply(yes), YES), Choice("no", self.reply(no), NO)]
            case "opinion":
                return [Choice(value, self.reply(f"opinion_{value}"), OPINION_WORDS[value]) for value in OPINIONS]
            case "choice" | "choices":
                return [
                    Choice(o.value, said(o.text, self.language, self.default), _others(o.text)) for o in item.options
                ]
        return [Choice(SKIP, self.reply("survey_skip"))] if item.is_optional else []

    def ends(self, item: Item) -> tuple[str, str]:
        """What the lowest and the highest step of a scale mean, where a button does not say it."""
        if item.id == SCORE and self.form.kind in ("nps", "ces"):
            return self.reply(f"{self.form.kind}_low"), self.reply(f"{self.form.kind}_high")
        return "", ""

    def message(self, item: Item, *, has_buttons: bool, url: str = "") -> str:
        """The text that puts a question in a channel; with `url` the first one, which says where else to answer."""
        choices, lines = self.choices(item), [self.question(item)]
        if url and (intro := self.intro()):
            lines.insert(0, intro)
        if has_buttons:
            return "\n".join(lines)
        if item.type == "text":
            return "\n".join([*lines, self.reply("survey_by_link", url=url)] if url else lines)
        if not is_scale(choices):
            lines.append(numbered(choices))
        if url:
            lines.append(self.reply("survey_by_number", url=url))
        else:
            lines.append(self.reply("answer_by_numbers" if item.type == "choices" else "answer_by_number"))
        return "\n".join(lines)

    def label(self, item: Item, value: str) -> str:
        """An answer as people read it."""
        labels = {choice.value: choice.label for choice in self.choices(item)}
        return ", ".join(labels.get(part, part) for part in value.split(",")) if item.values else value

    def _step(self, item: Item, value: str) -> str:
        is_csat = item.id == SCORE and self.form.kind == "csat"
        return self.reply(f"csat_{value}") if is_csat and int(value) in SCALES["csat"] else value


def _others(texts: Mapping[Any, str]) -> tuple[str, ...]:
    return tuple(text for text in texts.values() if text)
