"""Messenger: private messages to a Facebook page.

Written after https://developers.facebook.com/docs/messenger-platform.
"""

from typing import ClassVar

from connectors.base import Field, Limits, OutboundMessage, Sent, SignIn
from connectors.meta import APP_ID, APP_SECRET, GRAPH_VERSION, PAGE_TOKEN
from connectors.meta_graph import FILE_BYTES
from connectors.meta_messages import LATE_ANSWERS, WINDOW_HOURS, MessagesConnector
from connectors.meta_sign_in import CONFIGURATION, facebook_sign_in


class MessengerConnector(MessagesConnector):
    """One page's inbox."""

    name: ClassVar[str] = "messenger"
    label: ClassVar[str] = "Messenger"
    about: ClassVar[str] = "Private messages to your Facebook page."
    # Send API: 2000 characters, 13 quick replies.
    limits: ClassVar[Limits] = Limits(
        text_length=2000, buttons=13, window_hours=WINDOW_HOURS, media={"*/*": FILE_BYTES}, files=10
    )
    fields: ClassVar[tuple[Field, ...]] = (APP_ID, APP_SECRET, PAGE_TOKEN, LATE_ANSWERS, GRAPH_VERSION)
    sign_in: ClassVar[SignIn | None] = facebook_sign_in(APP_ID, APP_SECRET, CONFIGURATION, LATE_ANSWERS, GRAPH_VERSION)
    webhook_object: ClassVar[str] = "page"
    webhook_fields: ClassVar[tuple[str, ...]] = (
        "messages",
        "messaging_postbacks",
        "message_echoes",
        "message_edits",
        "message_reads",
        "message_deliveries",
    )
    permissions: ClassVar[tuple[str, ...]] = ("pages_messaging", "pages_manage_metadata", "pages_show_list")
    profile_fields: ClassVar[str] = "name"
    marks_messages: ClassVar[bool] = True

    async def who(self) -> tuple[str, str]:
        """The page that the token belongs to."""
        page = await self.graph.get("me", {"fields": "id,name"})
        return str(page.get("id") or ""), str(page.get("name") or self.label)

    @classmethod
    def in_pieces(cls, message: OutboundMessage) -> tuple[OutboundMessage, ...]:
        """Send API: a text or one file, never both."""
        return message.pieces() if message.attachments else (message,)

    async def direct_message(self, message: OutboundMessage) -> Sent:
        """Send a text, with quick replies under it."""
        return await self.send({"id": message.recipient}, message)

    async def typing(self, thread_key: str) -> None:
        """Show three moving dots for twenty seconds or until the next message."""
        await self.graph.post("me/messages", {"recipient": {"id": thread_key}, "sender_action": "typing_on"})

    async def mark_read(self, thread_key: str) -> None:
        """Show the customer that their messages were seen."""
        await self.graph.post("me/messages", {"recipient": {"id": thread_key}, "sender_action": "mark_seen"})
