"""How healthy a channel is: a sentence for each thing that is wrong with it, for its page and for `doctor`."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from babel.support import NullTranslations

from connectors.base import Connector, Quota
from socialcrm.domain.channel import Channel, ChannelStatus
from socialcrm.engine.channels import Channels
from socialcrm.reports.accounts import Account
from socialcrm.secrets import KeyLost
from socialcrm.web.i18n import Formats
from socialcrm.web.words import N_

ENDS_SOON = timedelta(days=7)
BEHIND = timedelta(minutes=5)
"""Raw events wait for a second or two; for so long only where no process takes them, or far too many came."""
UNFETCHED = timedelta(minutes=15)
UNCALLED = timedelta(hours=1)
NEARLY = 0.9
"""From this share of a month's posts on it is said that they come to an end."""


def quota_of(channel: Channel, now: datetime) -> Quota | None:
    """What the platform last said that we may ask; None where it has no such limit, or what it said is over."""
    return _still(channel.quota, now)


def cap_of(channel: Channel, now: datetime) -> Quota | None:
    """The same of a longer time, as a month."""
    return _still((channel.quota or {}).get("cap"), now)


def _still(kept: Mapping[str, Any] | None, now: datetime) -> Quota | None:
    if not kept or "used" not in kept:
        return None
    resets_at = datetime.fromisoformat(kept["resets_at"]) if kept["resets_at"] else None
    if resets_at and resets_at <= now:
        return None
    return Quota(kept["used"], kept["limit"], resets_at, kept["unit"])


def opened(channels: Channels, channel: Channel) -> Connector | str:
    """The open connector of a channel, or why it cannot be opened."""
    try:
        return channels.open(channel)
    except KeyLost:
        return N_("The key of its credentials was lost: connect it again.")
    except KeyError as error:
        return str(error.args[0])


class Health:
    """Says what is wrong with channels, in one language."""

    def __init__(self, catalogue: NullTranslations, formats: Formats, now: datetime) -> None:
        self._catalogue = catalogue
        self._formats = formats
        self._now = now

    def faults(self, account: Account, connector: Connector | str) -> list[str]:
        """Everything that is wrong with a channel; `connector` is why there is none, where it cannot be opened. One
        that somebody paused or disconnected has no faults."""
        channel = account.channel
        if channel.status == ChannelStatus.PAUSED or (
            channel.status == ChannelStatus.SIGNED_OUT and not channel.credentials
        ):
            return []
        if channel.status == ChannelStatus.SIGNED_OUT:
            return [self._lost(channel)]
        found = [*self._access(channel, connector), *self._flow(account, connector)]
        said = dict.fromkeys(text for text in (channel.error, channel.probe_error) if text)
        return [*(self._say(text) for text in said), *found]

    def _lost(self, channel: Channel) -> str:
        since = channel.lost_at or channel.error_at
        if since is None:
            return self._say(N_("The platform no longer accepts our credentials: connect it again."))
        sentence = N_("Signed out since %(when)s: connect it again.")
        return self._say(sentence, when=self._formats.moment(since))

    def _access(self, channel: Channel, connector: Connector | str) -> Iterator[str]:
        """Credentials, permissions, quota."""
        if isinstance(connector, str) and connector not in (channel.error, channel.probe_error):
            yield self._say(connector)
        if channel.token_ends_at and channel.token_ends_at <= self._now:
            yield self._say(N_("Its access has ended: connect it again."))
        elif channel.token_ends_at and channel.token_ends_at - self._now < ENDS_SOON:
            left = self._formats.duration(channel.token_ends_at - self._now)
            yield self._say(N_("Its access ends in %(length)s: connect it again before."), length=left)
        if channel.missing_scopes:
            scopes = ", ".join(channel.missing_scopes)
            yield self._say(N_("These permissions are missing: %(scopes)s."), scopes=scopes)
        quota = quota_of(channel, self._now)
        if quota and quota.used >= quota.limit:
            until = self._formats.moment(quota.resets_at) if quota.resets_at else ""
            said = N_("Its quota is used up until %(time)s.") if until else N_("Its quota is used up.")
            yield self._say(said, time=until)
        cap = cap_of(channel, self._now)
        if cap and cap.used >= NEARLY * cap.limit:
            said = N_("%(used)s of the %(limit)s posts that may be read in a month are read.")
            yield self._say(said, used=self._formats.number(cap.used), limit=self._formats.number(cap.limit))

    def _flow(self, account: Account, connector: Connector | str) -> Iterator[str]:
        """Whether messages come through."""
        channel = account.channel
        if account.waiting_since and (behind := self._now - account.waiting_since) > BEHIND:
            yield self._say(N_("Behind by %(length)s: what came waits in the ledger."), length=self._length(behind))
        if isinstance(connector, str):
            return
        is_called = connector.is_called and connector.takes_hooks and connector.can("read_webhook")
        if is_called and channel.received_at is None and self._now - channel.created_at > UNCALLED:
            sentence = N_("The platform has never called us: check the webhook address on its side.")
            yield self._say(sentence)
        elif is_called and connector.is_polled and account.is_found_only:
            sentence = N_(
                "The platform does not call us, so messages come minutes late, by asking: check the webhook address on"
                " its side."
            )
            yield self._say(sentence)
        slowest = timedelta(seconds=2 * connector.slowest_poll_seconds)
        since = channel.succeeded_at or channel.created_at
        overdue = self._now - (channel.poll_after_at or since)
        if connector.is_polled and not channel.error and overdue > max(UNFETCHED, slowest):
            sentence = N_("Nothing was fetched for %(length)s: is SocialCRM's work process running?")
            yield self._say(sentence, length=self._length(self._now - since))

    def _length(self, length: timedelta) -> str:
        return self._formats.duration(length)

    def _say(self, sentence: str, **values: str) -> str:
        said = str(self._catalogue.gettext(sentence))
        return said % values if values else said
