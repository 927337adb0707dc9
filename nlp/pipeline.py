"""What is understood of a message, and the pipeline that finds it out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from nlp.normalize import MAX_CHARS

Field = Literal["language", "sentiment", "complaint", "intent"]
FIELDS: tuple[Field, ...] = ("language", "sentiment", "complaint", "intent")

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


class Pipeline:
    """Runs components one after another over batches of texts."""

    def __init__(self, components: Sequence[Component]) -> None:
        """Keep the components in the order in which they will run."""
        self.components = tuple(components)

    @classmethod
    def load(cls, folder: Path | None = None) -> "Pipeline":
        """Read the weights in `folder`, by default those shipped in nlp/models.

        Raises FileNotFoundError if a weights file is missing and ValueError if one cannot be used.
        """
        from nlp.linear import LinearComponent  # here, because the back end builds on this module

        folder = folder or Path(__file__).parent / "models"
        return cls([LinearComponent.load(folder / f"{field}.npz", field) for field in FIELDS])

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
