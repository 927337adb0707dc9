"""The shipped pipeline and our labelled sentences, read once for all tests of understanding."""

from pathlib import Path

import pytest

from nlp.pipeline import Document, Pipeline
from nlp.rows import Row, read

LABELLED = Path(__file__).parent / "labelled"


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    """The pipeline with the weights that we ship."""
    return Pipeline.load()


@pytest.fixture(scope="session")
def labelled() -> list[Row]:
    """Sentences that we wrote and labelled by hand; training never sees them."""
    return list(read(sorted(LABELLED.glob("*.jsonl"))))


def labels(document: Document) -> tuple[str, str, str, str]:
    """Return the language, sentiment, complaint and intent labels of a document."""
    assert document.language and document.sentiment and document.complaint and document.intent
    return document.language.label, document.sentiment.label, document.complaint.label, document.intent.label
