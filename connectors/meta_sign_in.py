"""Signing in on Facebook's page: the way there, the tokens that come of it, and the pages that were chosen.

Written after https://developers.facebook.com/docs/facebook-login: guides/advanced/manual-flow, guides/access-tokens,
facebook-login-for-business, and guides/advanced/oidc-token for PKCE.
"""

from collections.abc import AsyncIterator, Mapping

from yarl import URL

from connectors.base import ChannelConfig, Field, Json, Refused, SignIn
from connectors.meta_graph import Graph

PAGE = "https://www.facebook.com"
PAGES = 10
"""Of a hundred Facebook pages each; nobody chooses from more."""
PAGE_FIELDS = "id,name,access_token,instagram_business_account{id,username}"

CONFIGURATION = Field(
    "config_id",
    "Login configuration",
    help="With Facebook Login for Business: the ID of a configuration with system-user tokens, which do not end."
    " Empty: the permissions are asked for one by one.",
    help_url="https://developers.facebook.com/docs/facebook-login/facebook-login-for-business",
    is_required=False,
)


def facebook_sign_in(*fields: Field) -> SignIn:
    """The sign-in of a connector with these fields."""
    return SignIn(
        at="Facebook",
        fields=fields,
        redirect_help="In your Meta app: Facebook Login for Business, Settings, Valid OAuth redirect URIs.",
        redirect_help_url="https://developers.facebook.com/apps",
    )


def authorize_url(
    config: ChannelConfig, version: str, permissions: tuple[str, ...], redirect_url: str, state: str, challenge: str
) -> str:
    """Facebook's page that asks for the permissions, or for those of a configuration."""
    configuration = str(config.settings.get("config_id") or "")
    asked = {"scope": ",".join(permissions), "auth_type": "rerequest"}
    if configuration:
        asked = {"config_id": configuration, "override_default_response_type": "true"}
    query = {
        "client_id": str(config.settings.get("app_id") or ""),
        "redirect_uri": redirect_url,
        "state": state,
        "response_type": "code",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **asked,
    }
    return str(URL(f"{config.api_url or PAGE}".rstrip("/") + f"/{version}/dialog/oauth").with_query(query))


async def exchange(graph: Graph, code: str, verifier: str, redirect_url: str) -> str:
    """A token of the person for a code, of those that last longest: the pages' tokens that it gives do not end."""
    found = await graph.token_for({"redirect_uri": redirect_url, "code_verifier": verifier, "code": code})
    token = _token(found)
    if not found.get("expires_in"):
        return token  # a system user's
    return _token(await graph.token_for({"grant_type": "fb_exchange_token", "fb_exchange_token": token}))


async def pages(graph: Graph) -> AsyncIterator[dict[str, Json]]:
    """The pages that were chosen in the dialog, each with a token of its own."""
    async for answer in graph.pages("me/accounts", {"fields": PAGE_FIELDS, "limit": "100"}, PAGES):
        data = answer.get("data")
        for page in data if isinstance(data, list) else []:
            if isinstance(page, dict):
                yield page


def _token(answer: Mapping[str, Json]) -> str:
    token = answer.get("access_token")
    if not isinstance(token, str) or not token:
        raise Refused("Meta gave no access token.")
    return token
