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
    "handler": {"bot": N_("Bot"), "human": N_("Person"), "closed": N_("Closed")},
}


def word(kind: str, value: str) -> str:
    """The English word for a value; the value itself where there is none."""
    return WORDS[kind].get(value, value)
