"""A back end for one field: any Hugging Face text classifier, by its name on the hub or by its folder.

Needs the extra `transformers` (torch). A name is downloaded once, into the cache of huggingface_hub; a folder needs no
network.
"""

import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from nlp.intents import INTENTS, REASONS
from nlp.languages import LANGUAGES
from nlp.normalize import MAX_CHARS, normalize
from nlp.pipeline import Document, Field, Prediction

OURS: Mapping[Field, tuple[str, ...]] = {
    "language": LANGUAGES,
    "sentiment": ("negative", "neutral", "positive"),
    "complaint": ("complaint", "other"),
    "intent": INTENTS,
    "reason": REASONS,
}
"""The labels that a model's own labels can be mapped to, by field."""

IGNORED = ""
"""What a label is mapped to that is none of ours."""

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_QUIET = ("neutral", "other")


def label_map(field: Field, theirs: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Return our label, or IGNORED, for each label of a model.

    `given` maps theirs to ours; a label that is called like one of ours needs no mapping. Raises ValueError if a
    label is not mapped, is mapped to what is none of ours, if the model has no label of a given name, or if
    fewer than two of ours are left to choose from.
    """
    ours = OURS[field]
    expected = f'one of {", ".join(ours)}, or "" to ignore it'
    for label in given:
        if label not in theirs:
            raise ValueError(f"the model has no label {label!r}; it has {', '.join(theirs)}")
    found = {label: given.get(label, label) for label in theirs}
    for label, mapped in found.items():
        if label not in given and mapped not in ours:
            raise ValueError(f"its label {label!r} is not mapped to a {field}: expected {expected}")
        if mapped != IGNORED and mapped not in ours:
            raise ValueError(f"its label {label!r} is mapped to {mapped!r}, which is no {field}: expected {expected}")
    if len(set(found.values()) - {IGNORED}) < 2:
        raise ValueError(f"its labels leave nothing to choose: map them to two or more of {', '.join(ours)}")
    return found


@dataclass(frozen=True, eq=False)
class TransformerComponent:
    """One classifier for one field of a document.

    `name` goes into every prediction; `batch` texts of about one length run together, cut to `max_tokens` tokens;
    `label_of` is what `label_map` returned.
    """

    field: Field
    labels: tuple[str, ...]
    name: str
    batch: int
    max_tokens: int
    label_of: Mapping[str, str]
    classifier: Callable[..., list[list[dict[str, Any]]]]
    lock: Lock

    @classmethod
    def load(
        cls,
        field: Field,
        model: str,
        labels: Mapping[str, str] | None = None,
        *,
        batch: int = 32,
        max_tokens: int = 128,
        device: str = "cpu",
    ) -> "TransformerComponent":
        """Read the classifier `model`, a name on the hub or a folder, and map its labels (see label_map).

        `batch` counts texts, `max_tokens` tokens of a text (fewer where the model reads fewer), `device` is a torch
        device. Raises ValueError with a sentence: torch is not installed, the model cannot be read or is no
        classifier, a label is not mapped, the device is not there.
        """
        try:
            loaded = _loaded(model, device)
            label_of = label_map(field, _labels(loaded.model.config), labels or {})
        except ValueError as error:
            raise ValueError(f"The {field} model {model} cannot be used: {error}.") from error
        chosen = tuple(label for label in OURS[field] if label in label_of.values())
        name = Path(model).resolve().name if Path(model).is_dir() else model
        can_pad = loaded.tokenizer.pad_token_id is not None
        most = _most_tokens(loaded, max_tokens)
        return cls(field, chosen, f"{name}/{field}", batch if can_pad else 1, most, label_of, loaded, Lock())

    def predict(self, documents: Sequence[Document]) -> list[Prediction]:
        """Return one prediction a document, in the same order; the model reads at most MAX_CHARS characters."""
        texts = [_readable(document.text) for document in documents]
        order = sorted((place for place, text in enumerate(texts) if text), key=lambda place: len(texts[place]))
        found = [self._prediction(self._quiet())] * len(texts)
        if order:
            for place, theirs in zip(order, self._classify([texts[place] for place in order]), strict=True):
                found[place] = self._prediction(self._scores(theirs))
        return found

    def _classify(self, texts: list[str]) -> list[list[dict[str, Any]]]:
        with self.lock:  # a fast tokenizer cannot be borrowed by two threads
            return self.classifier(
                texts, top_k=None, batch_size=self.batch, truncation=True, max_length=self.max_tokens
            )

    def _scores(self, theirs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Add up the probabilities by our labels; what ignored labels got is shared out evenly, and so makes unsure."""
        total = sum(one["score"] for one in theirs) or 1.0
        rest = sum(one["score"] for one in theirs if self.label_of[one["label"]] == IGNORED) / total
        scores = dict.fromkeys(self.labels, rest / len(self.labels))
        for one in theirs:
            if (ours := self.label_of[one["label"]]) != IGNORED:
                scores[ours] += one["score"] / total
        return scores

    def _quiet(self) -> dict[str, float]:
        """Return the scores of a text in which nothing is left to read: neutral or other, with half and its share."""
        label = next((label for label in _QUIET if label in self.labels), self.labels[0])
        return {one: 0.5 / len(self.labels) + 0.5 * (one == label) for one in self.labels}

    def _prediction(self, scores: dict[str, float]) -> Prediction:
        label = max(scores, key=scores.__getitem__)
        return Prediction(label, scores[label], scores, self.name)


def _readable(text: str) -> str:
    """Return what the model reads of a text: its beginning, without lone surrogates; "" if no word is in it."""
    return text[:MAX_CHARS].encode("utf-8", "ignore").decode("utf-8") if normalize(text) else ""


def _loaded(model: str, device: str) -> Any:
    """Return the pipeline of a model, as transformers makes it; ValueError says why it cannot be used."""
    if importlib.util.find_spec("torch") is None:
        raise ValueError("torch is not installed; pip install 'socialcrm[transformers]' brings it")
    if not Path(model).is_dir() and not _HUB_NAME.fullmatch(model):
        raise ValueError("there is no such folder")
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    try:
        network, report = AutoModelForSequenceClassification.from_pretrained(model, output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ValueError(str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__) from error
    if report["missing_keys"]:
        raise ValueError(f"it is no text classifier, for its weights lack {', '.join(sorted(report['missing_keys']))}")
    try:
        return pipeline("text-classification", model=network.eval(), tokenizer=tokenizer, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ValueError(f"the device {device!r} cannot be used: {str(error).strip().split(chr(10))[0]}") from error


def _labels(config: Any) -> list[str]:
    """Return the labels of a model in its own words; ValueError if it gives no probabilities of labels."""
    if config.problem_type == "regression" or config.num_labels < 2:
        raise ValueError("it gives a number, not a choice between labels")
    return [str(config.id2label[place]) for place in range(config.num_labels)]


def _most_tokens(loaded: Any, wanted: int) -> int:
    """Return how many tokens the model can read of a text, at most `wanted`; two places may be kept for padding."""
    positions = getattr(loaded.model.config, "max_position_embeddings", None) or wanted + 2
    return int(min(wanted, loaded.tokenizer.model_max_length, positions - 2))
