"""Reading what platforms send: JSON that any database can keep, and errors that name the field."""

import json
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ValidationError

from connectors.base import BadPayload, Json

Model = TypeVar("Model", bound=BaseModel)


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("Input is too near to the first or last year") from None


UtcTime = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""An ISO 8601 time with its zone, or unix seconds; aware UTC when read."""


def parse(body: bytes) -> Json:
    """The JSON in `body`; what is no JSON, or JSON that not every database keeps, comes back as its text.

    So a call that proved where it comes from is always kept, and `understand` says what is wrong with it.
    """
    try:
        payload = json.loads(body)
        # NaN and infinity are no JSON, half a surrogate pair is no UTF-8, and PostgreSQL keeps no NUL.
        kept = json.dumps(payload, ensure_ascii=False, allow_nan=False)
        kept.encode()
        if "\\u0000" not in kept.replace("\\\\", ""):
            return payload
    except (ValueError, RecursionError):
        pass
    return body.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def understand(model: type[Model], payload: Json) -> Model:
    """`payload` as a `model`; raises BadPayload with the name of the first wrong field, never its value."""
    if not isinstance(payload, dict):
        raise BadPayload("The event is not a JSON object.")
    try:
        return model.model_validate(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    raise BadPayload(f"{'.'.join(str(step) for step in first['loc']) or 'The event'}: {first['msg']}.")
