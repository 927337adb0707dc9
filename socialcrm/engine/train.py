"""Train: refit the heads of the model on corrections, and let them go live only if they are better on corrections that
they have not seen."""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeVar
from zlib import crc32

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from nlp import heads
from nlp.pipeline import Document, Pipeline
from socialcrm.domain.likelihood import FEW, mcnemar, wilson
from socialcrm.domain.message import Message
from socialcrm.domain.people import Agent
from socialcrm.domain.teaching import LABELS, Correction, ModelVersion, VersionStatus
from socialcrm.engine.line import Line

log = logging.getLogger(__name__)
T = TypeVar("T")

LEAST = 50
"""Fewer corrections teach nothing that could be measured."""
HELD_OUT = 20
"""Per cent of the corrected messages that are never learned from."""
SIGNIFICANT = 0.05
TOTAL = "total"


class CannotTrain(Exception):
    """Why not, in a sentence."""


@dataclass(frozen=True)
class Example:
    """What a person said of one field of one message."""

    message_id: int
    text: str
    field: str
    label: str

    @property
    def is_held_out(self) -> bool:
        """The same for all corrections of a message, and for every training."""
        return crc32(str(self.message_id).encode()) % 100 < HELD_OUT


@dataclass(frozen=True)
class Material:
    """What can be learned: the examples of the fields that our model fills, oldest messages first."""

    examples: Sequence[Example]
    left_out: tuple[str, ...]
    """Fields that people corrected and another back end fills: corrections do not teach it."""


@dataclass(frozen=True)
class Comparison:
    """Two models on the same corrections."""

    count: int = 0
    old: int = 0
    """Right answers of the model in use."""
    new: int = 0
    only_old: int = 0
    """Rows that only the model in use got right."""
    only_new: int = 0

    @property
    def p(self) -> float:
        """How likely such a difference is between equally good models."""
        return mcnemar(self.only_old, self.only_new)

    @property
    def is_worse(self) -> bool:
        """Whether the new one is significantly worse, on enough rows to tell."""
        return self.count >= FEW and self.new < self.old and self.p < SIGNIFICANT

    def and_one(self, old: bool, new: bool) -> "Comparison":
        """The same with one more row."""
        return Comparison(
            self.count + 1,
            self.old + old,
            self.new + new,
            self.only_old + (old and not new),
            self.only_new + (new and not old),
        )

    def figures(self) -> dict[str, Any]:
        """As kept in the row of the version; intervals are Wilson's, at 95 %."""
        return {
            "count": self.count,
            "old": self.old,
            "new": self.new,
            "only_old": self.only_old,
            "only_new": self.only_new,
            "old_interval": wilson(self.old, self.count),
            "new_interval": wilson(self.new, self.count),
            "p": self.p,
        }


@dataclass(frozen=True)
class Verdict:
    """What came of a training: `comparisons` has one entry per field and the total."""

    learned: int
    held_out: int
    comparisons: Mapping[str, Comparison]
    left_out: tuple[str, ...] = ()
    """Fields whose corrections were not learned, for another back end fills them."""
    is_dry: bool = False
    version: int | None = None
    """Of the row that was made; none on a dry run."""

    @property
    def worse(self) -> tuple[str, ...]:
        """Fields in which the new model is significantly worse."""
        return tuple(name for name, found in self.comparisons.items() if name != TOTAL and found.is_worse)

    @property
    def is_better(self) -> bool:
        """Whether the new model may go live."""
        total = self.comparisons[TOTAL]
        return total.new > total.old and not self.worse

    @property
    def figures(self) -> dict[str, Any]:
        """{"learned", "held_out", "fields": {field or "total": `Comparison.figures`}}."""
        fields = {name: found.figures() for name, found in self.comparisons.items()}
        return {"learned": self.learned, "held_out": self.held_out, "fields": fields}


async def train(
    line: Line, agent: Agent | None = None, *, is_dry: bool = False, on_step: Callable[[str], None] = lambda step: None
) -> Verdict:
    """Refit, compare with the model in use, and go live if better; says each step to `on_step`. Raises CannotTrain."""
    await line.model.refresh(now=True)
    async with line.database.read() as session:
        found = await material(session, line.pipeline)
    if len(found.examples) < LEAST:
        raise CannotTrain(_too_few(found))
    learned, held_out = _split(found.examples)
    if not learned or not held_out:
        raise CannotTrain("All corrections are of a few messages: correct others too, so that some can be held out.")
    path = line.model.folder / f"heads-{line.now():%Y%m%d-%H%M%S}-{token_hex(3)}.npz"
    work = _Work(line.model.load, line.pipeline, path, on_step)
    try:
        verdict, name = await _aside(lambda: work.run(learned, held_out))
        verdict = replace(verdict, left_out=found.left_out)
    finally:
        if is_dry:
            path.unlink(missing_ok=True)
    if is_dry:
        return replace(verdict, is_dry=True)
    on_step("deciding")
    try:
        return replace(verdict, version=await _settle(line, verdict, path, name, agent))
    except IntegrityError:
        path.unlink(missing_ok=True)
        raise CannotTrain("Another training has just ended: look at what it made before you train again.") from None


async def collect(session: AsyncSession) -> list[Example]:
    """Everything that people said, the newest of each message and field, oldest messages first. A reason counts only
    while the message is a complaint."""
    query = (
        select(Correction, col(Message.text))
        .join(Message, col(Message.id) == col(Correction.message_id))
        .order_by(col(Correction.message_id), col(Correction.made_at), col(Correction.id))
    )
    found: dict[tuple[int, str], Example] = {}
    for row, text in (await session.execute(query)).all():
        found[row.message_id, row.field] = Example(row.message_id, text, row.field, row.label)
    no_complaint = {number for (number, name), e in found.items() if name == "complaint" and e.label == "other"}
    return [e for e in found.values() if e.field != "reason" or e.message_id not in no_complaint]


async def material(session: AsyncSession, pipeline: Pipeline) -> Material:
    """What people said of the fields that our own model fills; of a pipeline without heads, which `train` refuses,
    everything."""
    ours = {str(part.field) for part in pipeline.components if isinstance(part, heads.HybridComponent)} or set(LABELS)
    found = await collect(session)
    others = {e.field for e in found} - ours
    return Material([e for e in found if e.field in ours], tuple(field for field in LABELS if field in others))


async def rollback(line: Line) -> ModelVersion | None:
    """Go back to what the live version took over from, None being the shipped model; raises CannotTrain."""
    async with line.database.write() as session:
        live = await _live(session)
        if live is None:
            raise CannotTrain("The shipped model is in use: there is nothing to go back to.")
        live.status = VersionStatus.RETIRED
        await session.flush()
        before = await session.get(ModelVersion, live.previous_id) if live.previous_id else None
        if before is not None:
            before.status = VersionStatus.LIVE
    await line.model.refresh(now=True)
    return before


async def versions(session: AsyncSession) -> list[tuple[ModelVersion, str | None]]:
    """Every version, newest first, with the name of who made it."""
    query = select(ModelVersion, col(Agent.name)).outerjoin(Agent, col(Agent.id) == col(ModelVersion.agent_id))
    return [(row[0], row[1]) for row in (await session.execute(query.order_by(col(ModelVersion.id).desc()))).all()]


@dataclass(frozen=True)
class _Work:
    """The part that takes minutes of a processor: no rows, no event loop."""

    load: Callable[[Path | None], Pipeline]
    current: Pipeline
    path: Path
    on_step: Callable[[str], None]

    def run(self, learned: Sequence[Example], held_out: Sequence[Example]) -> tuple[Verdict, str]:
        """The verdict, and the name of the new heads, which are in the file now."""
        texts = list(dict.fromkeys(e.text for e in held_out))
        self.on_step("reading")
        old = dict(zip(texts, self.current.analyze(texts), strict=True))
        self.on_step("learning")
        try:
            # From the shipped heads each time, so that many trainings one after another do not wander off.
            shipped = self.load(None)
            made = heads.refit(shipped, [found for e in learned if (found := _lesson(shipped, e))])
            made = replace(made, name=f"{made.name}{self.path.stem[len('heads-') : -len('-000000')]}")
            self.path.parent.mkdir(parents=True, exist_ok=True)
            made.save(self.path)
            self.on_step("comparing")
            new = dict(zip(texts, self.load(self.path).analyze(texts), strict=True))
        except (ValueError, OSError) as error:
            raise CannotTrain(f"The model cannot be refitted: {error}") from error
        return Verdict(len(learned), len(held_out), compare(held_out, old, new)), made.name


def compare(
    examples: Sequence[Example], old: Mapping[str, Document], new: Mapping[str, Document]
) -> dict[str, Comparison]:
    """How often two models say what people said, by field and in total; documents are found by their text."""
    found = {name: Comparison() for name in (*LABELS, TOTAL)}
    for example in examples:
        was, is_now = (_says(documents[example.text], example) for documents in (old, new))
        for name in (example.field, TOTAL):
            found[name] = found[name].and_one(was, is_now)
    return found


def _lesson(pipeline: Pipeline, example: Example) -> heads.Correction | None:
    """The example as the heads learn it; None where they have no such label."""
    for part in pipeline.components:
        if part.field == example.field and isinstance(part, heads.HybridComponent) and example.label in part.labels:
            return heads.Correction(example.text, part.field, example.label)
    return None


def _says(document: Document, example: Example) -> bool:
    prediction = getattr(document, example.field)
    return prediction is not None and prediction.label == example.label


def _too_few(found: Material) -> str:
    count = len(found.examples)
    said = f"{LEAST - count} more corrections are needed: there are {count} of {LEAST}"
    if found.left_out:
        said += f", without those of {' or '.join(found.left_out)}, which another model fills"
    return f"{said}."


def _split(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    return [e for e in examples if not e.is_held_out], [e for e in examples if e.is_held_out]


async def _settle(line: Line, verdict: Verdict, path: Path, name: str, agent: Agent | None) -> int:
    """Write the version's row, live if it may be, and use it."""
    async with line.database.write() as session:
        live = await _live(session)
        previous = live.id if live else None
        if verdict.is_better and live:
            await session.execute(
                update(ModelVersion).where(col(ModelVersion.id) == previous).values(status=VersionStatus.RETIRED.value)
            )
        row = ModelVersion(
            path=path.name,
            name=name,
            made_at=line.now(),
            agent_id=agent.id if agent else None,
            status=VersionStatus.LIVE if verdict.is_better else VersionStatus.REJECTED,
            previous_id=previous,
            figures=verdict.figures,
        )
        session.add(row)
        await session.flush()
        number = row.id or 0
    if verdict.is_better:
        await line.model.refresh(now=True)
    else:
        path.unlink(missing_ok=True)
    return number


async def _live(session: AsyncSession) -> ModelVersion | None:
    query = select(ModelVersion).where(col(ModelVersion.status) == VersionStatus.LIVE.value).with_for_update()
    return (await session.execute(query)).scalar_one_or_none()


async def _aside(work: Callable[[], T]) -> T:
    """Run `work` in a thread that does not keep the process from stopping."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        try:
            result, error = work(), None
        except Exception as raised:
            result, error = None, raised
        with suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="train", daemon=True).start()
    return await done
