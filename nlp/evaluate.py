"""How right the pipeline is on labelled rows, by task, source and language."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nlp.intents import our_intent, our_reason
from nlp.languages import our_language
from nlp.pipeline import FIELDS, Document, Field, Pipeline, Prediction
from nlp.rows import Row

_NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Figures:
    """One line of the table. `left_out` counts rows whose label is none of ours.

    Accuracy and macro-F1 lie between 0 and 1; macro-F1 is the plain mean of the F1 of the labels that
    occur in the rows. `binary`: the rows have no neutral, so the model had to choose between the others.
    """

    task: str
    source: str
    lang: str
    count: int
    accuracy: float
    macro_f1: float
    left_out: int = 0
    binary: bool = False


def accuracy(truth: Sequence[str], guesses: Sequence[str]) -> float:
    """Return the share of right guesses; 0 for no rows."""
    return sum(map(str.__eq__, truth, guesses)) / len(truth) if truth else 0.0


def macro_f1(truth: Sequence[str], guesses: Sequence[str]) -> float:
    """Return the mean over the labels in `truth` of F1 = 2 TP / (2 TP + FP + FN); 0 for no rows."""
    labels = set(truth)
    scores = []
    for label in labels:
        hits = sum(1 for right, guess in zip(truth, guesses, strict=True) if right == guess == label)
        scores.append(2 * hits / (truth.count(label) + guesses.count(label)))
    return sum(scores) / len(labels) if labels else 0.0


def _task(row: Row) -> Field | None:
    """Return the field that a row is about; reasons why people complain have no field yet."""
    return next((field for field in FIELDS if field == row.task), None)


def truth_of(row: Row, field: Field) -> str | None:
    """Return the label of a row in our words, None if we have none for it."""
    match field:
        case "intent":
            return our_intent(row.label)
        case "language":
            return our_language(row.label, row.text)
        case "reason":
            return our_reason(row.label)
        case _:
            return row.label


def _prediction(document: Document, field: Field) -> Prediction:
    """Return what the pipeline said of one field; ValueError if it has no component for it."""
    found: Prediction | None = getattr(document, field)
    if found is None:
        raise ValueError(f"the pipeline predicts no {field}")
    return found


def _guess(prediction: Prediction, binary: bool) -> str:
    """Return the likeliest label, without neutral if `binary`."""
    if not binary:
        return prediction.label
    return max((label for label in prediction.scores if label != _NEUTRAL), key=prediction.scores.__getitem__)


def evaluate(pipeline: Pipeline, rows: Iterable[Row]) -> list[Figures]:
    """Return the figures of each task, source and language, sorted; see Figures."""
    groups: dict[tuple[Field, str, str], list[Row]] = {}
    for row in rows:
        if field := _task(row):
            groups.setdefault((field, row.source, row.lang), []).append(row)
    table = []
    for (field, source, lang), members in sorted(groups.items()):
        known = [(row.text, label) for row in members if (label := truth_of(row, field)) is not None]
        truth = [label for _, label in known]
        binary = field == "sentiment" and bool(truth) and _NEUTRAL not in truth
        documents = pipeline.analyze([text for text, _ in known])
        guesses = [_guess(_prediction(document, field), binary) for document in documents]
        table.append(
            Figures(
                field,
                source,
                lang,
                len(known),
                accuracy(truth, guesses),
                macro_f1(truth, guesses),
                len(members) - len(known),
                binary,
            )
        )
    return table


def show(table: Sequence[Figures]) -> str:
    """Return the figures as a table for a terminal."""
    lines = [f"{'task':<10} {'source':<32} {'language':<9} {'rows':>6} {'accuracy':>8} {'macro-F1':>8}"]
    for line in table:
        notes = ["negative and positive only"] if line.binary else []
        notes += [f"{line.left_out} rows left out: no clear label of ours"] if line.left_out else []
        lines.append(
            f"{line.task:<10} {line.source:<32} {line.lang:<9} {line.count:>6} {line.accuracy:>8.3f} "
            f"{line.macro_f1:>8.3f}  {'; '.join(notes)}".rstrip()
        )
    return "\n".join(lines)
