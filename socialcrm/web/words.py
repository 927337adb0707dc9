"""The words on the screens for values that rows hold; each is a msgid of the catalogues."""

from collections.abc import Mapping


def N_(message: str) -> str:
    """Marks a sentence for the catalogues."""
    return message


WORDS: Mapping[str, Mapping[str, str]] = {
    "status": {"open": N_("Open"), "pending": N_("Pending"), "snoozed": N_("Snoozed"), "resolved": N_("Resolved")},
    "priority": {"low": N_("Low"), "normal": N_("Normal"), "high": N_("High"), "urgent": N_("Urgent")},
    "sentiment": {"negative": N_("Negative"), "neutral": N_("Neutral"), "positive": N_("Positive")},
    "language": {
        "fr": N_("French"),
        "ar": N_("Arabic"),
        "en": N_("English"),
        "arq-Arab": N_("Darija (Arabic script)"),
        "arq-Latn": N_("Darija (Latin script)"),
        "other": N_("Other language"),
    },
    "intent": {
        "complaint": N_("Complaint"),
        "question": N_("Question"),
        "request": N_("Request"),
        "praise": N_("Praise"),
        "purchase": N_("Purchase"),
        "leaving": N_("Wants to leave"),
        "spam": N_("Spam"),
        "other": N_("Other"),
    },
    "complaint": {"complaint": N_("Complaint"), "other": N_("No complaint")},
    "reason": {
        "outage": N_("Does not work"),
        "quality": N_("Poor quality"),
        "delay": N_("Late"),
        "cancelled": N_("Cancelled"),
        "lost": N_("Lost or damaged"),
        "billing": N_("Money"),
        "account": N_("Account or booking"),
        "service": N_("Staff and answers"),
        "other": N_("Another reason"),
    },
    "field": {
        "language": N_("Language"),
        "sentiment": N_("Sentiment"),
        "complaint": N_("Complaint"),
        "intent": N_("Intent"),
        "reason": N_("Reason of the complaint"),
    },
    "kind": {
        "direct_message": N_("Direct message"),
        "comment": N_("Comment"),
        "mention": N_("Mention"),
        "review": N_("Review"),
    },
    "delivery": {
        "waiting": N_("Waiting to be sent"),
        "sending": N_("Sending"),
        "sent": N_("Sent"),
        "failed": N_("Not delivered"),
        "unknown": N_("Perhaps not delivered"),
    },
    "role": {
        "agent": N_("Agent"),
        "supervisor": N_("Supervisor"),
        "analyst": N_("Analyst"),
        "admin": N_("Administrator"),
    },
    "survey": {
        "csat": N_("Satisfaction"),
        "nps": N_("Recommendation"),
        "ces": N_("Effort"),
        "case_check": N_("Is it solved?"),
        "questionnaire": N_("Questionnaire"),
    },
    "survey_answer": {
        "yes": N_("Yes"),
        "no": N_("No"),
        "perfect": N_("Perfect"),
        "passable": N_("Passable"),
        "bad": N_("Bad"),
        "none": N_("No opinion"),
    },
    "presence": {"online": N_("Online"), "away": N_("Away"), "offline": N_("Offline")},
    "attachment": {
        "image": N_("Picture"),
        "audio": N_("Voice message"),
        "video": N_("Video"),
        "document": N_("Document"),
    },
    "entity": {
        "name": N_("name"),
        "phone": N_("phone number"),
        "email": N_("e-mail address"),
        "card": N_("card number"),
        "account": N_("account number"),
        "number": N_("number"),
        "order": N_("order number"),
        "case": N_("case reference"),
        "amount": N_("amount"),
        "date": N_("date"),
        "place": N_("place"),
    },
    "deed": {
        "hide": N_("Hide"),
        "unhide": N_("Show again"),
        "like": N_("Like"),
        "unlike": N_("Take the like back"),
        "boost": N_("Boost"),
        "unboost": N_("Take the boost back"),
        "delete": N_("Delete"),
    },
    "case_status": {
        "open": N_("Not begun"),
        "working": N_("In progress"),
        "waiting": N_("On hold"),
        "resolved": N_("Solved, asked"),
        "closed": N_("Closed"),
    },
    "waits_for": {"customer": N_("for the customer"), "outside": N_("for a partner")},
    "severity": {
        "low": N_("Minor"),
        "normal": N_("Ordinary"),
        "high": N_("Serious"),
        "critical": N_("Critical"),
    },
    "outcome": {
        "confirmed": N_("The customer confirmed"),
        "silent": N_("No answer from the customer"),
        "unfounded": N_("Not justified"),
        "withdrawn": N_("Withdrawn by the customer"),
        "duplicate": N_("Duplicate"),
    },
    "cause": {
        "unknown_cause": N_("Not said"),
        "product": N_("Product or network"),
        "system": N_("Computer system"),
        "process": N_("The way we work"),
        "staff": N_("Our people"),
        "information": N_("Missing or wrong information"),
        "supplier": N_("Supplier or partner"),
        "customer": N_("On the customer's side"),
        "outside": N_("Nobody could help it"),
    },
    "redress": {
        "none": N_("Nothing"),
        "apology": N_("Apology"),
        "repair": N_("Repair"),
        "replacement": N_("Replacement"),
        "refund": N_("Refund"),
        "credit": N_("Gesture or credit"),
    },
    "origin": {
        "detected": N_("found by the rules"),
        "agent": N_("opened by an agent"),
        "portal": N_("filed by the customer"),
        "bot": N_("taken by the bot"),
    },
    "untold": {
        "public": N_("the comment cannot be answered in private"),
        "window": N_("the channel takes no text until the customer writes again"),
        "bot": N_("the other side is a bot"),
        "stopped": N_("this person asked us not to write to them"),
        "deleted": N_("the comment was deleted"),
        "long": N_("the text is too long for the channel"),
        "closed": N_("the complaint was closed before"),
        "error": N_("an error on our side: see the log"),
    },
    "handler": {"bot": N_("Bot"), "human": N_("Person"), "closed": N_("Closed")},
}


def word(kind: str, value: str) -> str:
    """The English word for a value; the value itself where there is none."""
    return WORDS[kind].get(value, value)
