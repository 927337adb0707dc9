"""What the bot and the drafts say of themselves, for `reasons` to say in the language of the screen."""

import re

from socialcrm.web.words import N_

FIXED = (
    N_("a rule has answered"),
    N_("the other side is a bot"),
    N_("a person is looking after this conversation"),
    N_("they asked for a person"),
    N_("announced the hand-over"),
    N_("the conversation is closed"),
    N_("the bot is switched off"),
    N_("it talks like a bot: always the same, or without end"),
    N_("handed over, silently"),
    N_("nothing was asked"),
    N_("nothing is set up for it"),
    N_("it is the first message"),
    N_("greeted"),
    N_("nobody is at work now"),
    N_("said when people are back"),
    N_("a complaint gets no answer from the FAQ"),
    N_("answers from the FAQ are switched off"),
    N_("suggested to the agent"),
    N_("the FAQ's answers are never right often enough by likeness"),
    N_("asked again"),
    N_("ended the flow"),
    N_("ended it"),
    N_("the bot is in the middle of a flow"),
    N_("call-back"),
    N_("the flow has changed under this conversation"),
    N_("internal error: see the log"),
    N_("left to people"),
    N_("Drafting is switched off: an administrator sets [drafting] in the settings."),
    N_("The language model wrote nothing: try again, or write the answer yourself."),
    N_("The language model cannot be reached: tell an administrator."),
    N_("The customer wrote nothing that an answer could be drafted to."),
    N_("The language model refuses our key: an administrator has to set drafting.api_key anew."),
    N_("The language model's address or name is wrong: an administrator has to look at [drafting]."),
    N_("The language model has too much to do just now: try again in a moment."),
    N_("The language model's answer cannot be read: is its address OpenAI-compatible?"),
    N_("name: this flow is called “%(name)s”; make a new one for another name."),
    N_("name: there is a flow called “%(name)s” already."),
)
PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"it asks (?P<question>.+) in the middle of the flow (?P<flow>.+)"),
        N_("it asks %(question)s in the middle of the flow %(flow)s"),
    ),
    (re.compile(r"it asks (?P<question>.+), with (?P<score>[\d.]+)"), N_("it asks %(question)s, with %(score)s")),
    (
        re.compile(r"(?P<question>'.+') is the likest question with (?P<score>[\d.]+), below (?P<least>[\d.]+)"),
        N_("%(question)s is the likest question with %(score)s, below %(least)s"),
    ),
    (
        re.compile(
            r"it is public, and the intent (?P<intent>\w+) was judged (?P<count>\d+) times only, of (?P<least>\d+)"
        ),
        N_("it is public, and the intent %(intent)s was judged %(count)s times only, of %(least)s"),
    ),
    (
        re.compile(
            r"it is public, and the intent (?P<intent>\w+) is right (?P<share>\d+%) of (?P<count>\d+) times, "
            r"below (?P<bar>\d+%)"
        ),
        N_("it is public, and the intent %(intent)s is right %(share)s of %(count)s times, below %(bar)s"),
    ),
    (re.compile(r"the intent is (?P<intent>\w+): nothing is asked"), N_("the intent is %(intent)s: nothing is asked")),
    (
        re.compile(r"it answers (?P<step>'.+') of the flow (?P<flow>.+)"),
        N_("it answers %(step)s of the flow %(flow)s"),
    ),
    (
        re.compile(r"no answer to (?P<step>'.+') of the flow (?P<flow>.+)"),
        N_("no answer to %(step)s of the flow %(flow)s"),
    ),
    (
        re.compile(r"it says a word that the flow (?P<flow>.+) waits for"),
        N_("it says a word that the flow %(flow)s waits for"),
    ),
    (re.compile(r"the flow (?P<flow>.+) begins with it"), N_("the flow %(flow)s begins with it")),
    (re.compile(r"the flow (?P<flow>.+) does so at (?P<step>.+)"), N_("the flow %(flow)s does so at %(step)s")),
    (
        re.compile(r"the answer to (?P<step>.+) could not be read (?P<count>\d+) times"),
        N_("the answer to %(step)s could not be read %(count)s times"),
    ),
    (re.compile(r"asked (?P<step>'.+')"), N_("asked %(step)s")),
    (
        re.compile(r"The language model did not answer within (?P<seconds>[\d.]+) s\."),
        N_("The language model did not answer within %(seconds)s s."),
    ),
    (
        re.compile(r"The language model answered with an error \((?P<status>\d+)\)\."),
        N_("The language model answered with an error (%(status)s)."),
    ),
    (
        re.compile(r"The language model answered with an error \((?P<status>\d+)\): (?P<words>.+)\."),
        N_("The language model answered with an error (%(status)s): %(words)s."),
    ),
)
