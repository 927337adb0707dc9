"""What the authorization servers here have in common: codes that count once, for one app, address and challenge."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web
from yarl import URL


def s256(verifier: str) -> str:
    """RFC 7636, 4.2."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


@dataclass
class Dialog:
    """The page where a person agrees. `says` is what they do instead: the query with which they are sent back."""

    redirects: set[str] = field(default_factory=set)
    """The addresses that the app is registered with, compared sign by sign (RFC 9700, 2.1)."""
    says: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    """The query of each visit."""
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def visit(self, query: Mapping[str, str], client: str) -> web.Response:
        """The person comes, and agrees."""
        self.asked.append(dict(query))
        back = query.get("redirect_uri", "")
        if query.get("client_id") != client or query.get("response_type") != "code" or back not in self.redirects:
            return web.Response(status=400, text="This app or its redirect address is not known.")
        if query.get("code_challenge_method") != "S256" or len(query.get("code_challenge", "")) != 43:
            return web.Response(status=400, text="code_challenge")
        code = secrets.token_urlsafe(20)
        self._codes[code] = dict(query)
        said = self.says or {"code": code}
        raise web.HTTPFound(URL(back).with_query({"state": query["state"], **said}))

    def redeem(self, form: Mapping[str, str]) -> dict[str, str] | None:
        """What was asked for with a code, once and with its verifier; None where it is not good."""
        asked = self._codes.pop(form.get("code", ""), None)
        if asked is None or asked["redirect_uri"] != form.get("redirect_uri"):
            return None
        return asked if s256(form.get("code_verifier", "")) == asked["code_challenge"] else None
