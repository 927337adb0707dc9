"""What is understood of a message, and the pipeline that finds it out."""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from nlp.normalize import MAX_CHARS

if TYPE_CHECKING:
    from nlp.heads import Heads
    from nlp.onnx import Encoder

Field = Literal["language", "sentiment", "complaint", "intent", "reason"]
FIELDS: tuple[Field, ...] = ("language", "sentiment", "complaint", "intent", "reason")

_BATCH_TEXTS = 512
_BATCH_CHARS = 100_000


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer of one model: the likeliest label, its probability, and that of every label (sum 1)."""

    label: str
    score: float
    scores: Mapping[str, float]
    model: str


@dataclass(frozen=True, slots=True)
class Document:
    """A text and what is known of it; a field is None while no component has filled it."""

    text: str
    language: Prediction | None = None
    sentiment: Prediction | None = None
    complaint: Prediction | None = None
    intent: Prediction | None = None
    reason: Prediction | None = None
    topics: tuple[str, ...] = ()


class Component(Protocol):
    """Predicts one field of documents; changes nothing and may be used by many threads at once."""

    @property
    def field(self) -> Field:
        """The field of a document that the predictions are for."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label that a prediction can have."""
        ...

    def predict(self, documents: Sequence[Document]) -> list[Prediction]:
        """Return one prediction a document, in the same order; it may read fields filled before it."""
        ...


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut texts into runs that are small in number and in characters, so that memory stays bounded."""
    start = size = 0
    for place, text in enumerate(texts):
        size += min(len(text), MAX_CHARS)
        if place - start == _BATCH_TEXTS or (size > _BATCH_CHARS and place > start):
            yield texts[start:place]
            start, size = place, min(len(text), MAX_CHARS)
    if start < len(texts):
        yield texts[start:]


def _filled(document: Document, field: Field, prediction: Prediction) -> Document:
    """Return the document with one field set."""
    match field:
        case "language":
            return replace(document, language=prediction)
        case "sentiment":
            return replace(document, sentiment=prediction)
        case "complaint":
            return replace(document, complaint=prediction)
        case "intent":
            return replace(document, intent=prediction)
        case "reason":
            return replace(document, reason=prediction)


class Pipeline:
    """Runs components one after another over batches of texts."""

    def __init__(
        self, components: Sequence[Component], encoder: "Encoder | None" = None, heads: "Heads | None" = None
    ) -> None:
        """Keep the components in the order in which they will run, and what the hybrid ones among them share."""
        self.components = tuple(components)
        self.encoder = encoder
        self.heads = heads

    @classmethod
    def load(cls, folder: Path | None = None, heads: Path | None = None, *, encoder: bool = True) -> "Pipeline":
        """Read the model in `folder`, by default the one shipped in nlp/models.

        Without `encoder`, or from a folder without heads.npz, these are the n-gram models alone: many times as fast,
        and weaker. `heads` is a file of refitted heads that takes the place of the shipped one. Raises
        FileNotFoundError if a file is missing and ValueError if one cannot be used.
        """
        from nlp.linear import LinearComponent  # here, because the back ends build on this module

        folder = folder or Path(__file__).parent / "models"
        linear = [LinearComponent.load(folder / f"{field}.npz", field) for field in FIELDS]
        path = heads or folder / "heads.npz"
        if not encoder or (heads is None and not path.is_file()):
            return cls(linear)
        from nlp.heads import Heads, HybridComponent
        from nlp.onnx import Encoder

        stored = Heads.load(path)
        base = stored.name.partition("+")[0]
        if heads and base != (shipped := Heads.load(folder / "heads.npz").name):
            raise ValueError(f"these heads were fitted on {base}, and the model is {shipped} now: train again")
        shared = Encoder(folder, base, stored.likeness)
        parts = [
            HybridComponent(one.field, shared, one, stored.heads[one.field], f"{stored.name}/{one.field}")
            for one in linear
        ]
        return cls(parts, shared, stored)

    def only(self, field: Field) -> "Pipeline":
        """Return a pipeline that fills this field alone."""
        return Pipeline([one for one in self.components if one.field == field], self.encoder, self.heads)

    def with_component(self, component: Component) -> "Pipeline":
        """Return a pipeline in which `component` fills its field; everything else is shared with this one."""
        changed = copy(self)
        kept = [component if one.field == component.field else one for one in self.components]
        changed.components = tuple(kept if component in kept else [*kept, component])
        return changed

    def analyze(self, texts: Sequence[str]) -> list[Document]:
        """Return one document a text, in the same order.

        Takes any number of texts of any length and works through them in batches. Synchronous and
        CPU-bound: call it off the event loop. Any str is accepted, the empty one too.
        """
        documents: list[Document] = []
        for batch in _batches(texts):
            documents.extend(self._analyze_batch(batch))
        return documents

    def _analyze_batch(self, texts: Sequence[str]) -> list[Document]:
        documents = [Document(text) for text in texts]
        for component in self.components:
            predictions = component.predict(documents)
            documents = [
                _filled(document, component.field, prediction)
                for document, prediction in zip(documents, predictions, strict=True)
            ]
        return documents
