"""Signing in on a platform's page: what is kept of an admin who left for it until the account is connected."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from socialcrm.domain.columns import key_column, ref_column, text_column, time_column


class SignInAttempt(SQLModel, table=True):
    """One way to a platform's page and back, in one browser session; taken away by who goes on with it."""

    __tablename__ = "sign_in_attempt"

    id: int | None = key_column()
    state_hash: str = Field(unique=True)
    """Of the random text that the platform sends back with whoever comes from its page."""
    session_id: int = ref_column("web_session.id", is_indexed=True, ondelete="CASCADE")
    """The only session that may go on with it."""
    sealed: str = text_column()
    """Encrypted JSON: what was filled in, the verifier, and after coming back the accounts to choose from."""
    expires_at: datetime = time_column()
