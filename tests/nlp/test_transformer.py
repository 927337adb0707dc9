"""Any Hugging Face classifier for one field, on a tiny one with random weights that is made here."""

import importlib.util
import json
import math
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from config.settings import Backend, Transformer, Understanding
from nlp.pipeline import FIELDS, Document, Pipeline, Prediction
from nlp.transformer import TransformerComponent, label_map
from socialcrm.app import load_pipeline
from tests.requirements import require

WORDS = ["slm", "la", "connexion", "ta3kom", "mayta", "merci", "beaucoup", "facture", "الكونيكسيون", "ميتة", "شكرا"]
TEXTS = [
    "merci beaucoup",
    "slm la connexion ta3kom mayta mayta mayta",
    "الكونيكسيون ميتة",
    "facture",
    "شكرا merci " * 9,
    "slm " * 40,
]
STARS = {"1 star": "negative", "2 stars": "negative", "3 stars": "neutral", "4 stars": "positive", "spam": ""}

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Writes the folder of a BERT with 2 layers of 32 units and random weights, always the same ones."""
    if importlib.util.find_spec("torch") is None:
        require("torch: pip install 'socialcrm[transformers]'")
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

    def write(labels: Sequence[str], *, has_head: bool = True, has_padding: bool = True, **config: Any) -> Path:
        vocabulary = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        special = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
        special |= {"pad_token": "[PAD]"} if has_padding else {}
        torch.manual_seed(7)
        shape = BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=34,
            initializer_range=0.5,  # far from each other, so that no two texts get about the same scores
            id2label=dict(enumerate(labels)),
            label2id={label: place for place, label in enumerate(labels)},
            **config,
        )
        folder = tmp_path_factory.mktemp("models") / "tiny-reviews"
        (BertForSequenceClassification if has_head else BertModel)(shape).save_pretrained(folder)
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
        return folder

    return write


@pytest.fixture(scope="module")
def stars(make: Make) -> Path:
    """A classifier of reviews whose labels are not ours."""
    return make(list(STARS))


def documents(texts: Sequence[str] = TEXTS) -> list[Document]:
    return [Document(text) for text in texts]


def alone(folder: Path, text: str) -> dict[str, float]:
    """What torch says of one text, in the model's own labels."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        logits = model(**tokenizer(text, truncation=True, max_length=32, return_tensors="pt")).logits[0]
    return {model.config.id2label[place]: p for place, p in enumerate(logits.softmax(0).tolist())}


def is_near(found: Prediction, expected: dict[str, float]) -> bool:
    same = all(math.isclose(found.scores[label], score, abs_tol=1e-5) for label, score in expected.items())
    return same and set(found.scores) == set(expected) and found.label == max(expected, key=expected.__getitem__)


def test_scores_are_those_of_the_model_added_up_by_our_labels_in_the_order_of_the_texts(stars: Path) -> None:
    found = TransformerComponent.load("sentiment", str(stars), STARS, batch=4).predict(documents())
    assert len({round(one.score, 6) for one in found}) == len(TEXTS)
    for text, one in zip(TEXTS, found, strict=True):
        theirs = alone(stars, text)
        expected = dict.fromkeys(("negative", "neutral", "positive"), theirs["spam"] / 3)
        for label, ours in STARS.items():
            if ours:
                expected[ours] += theirs[label]
        assert is_near(one, expected), text
        assert math.isclose(sum(one.scores.values()), 1, abs_tol=1e-5)
        assert one.score == one.scores[one.label]


def test_the_component_names_its_field_its_labels_and_its_model(stars: Path) -> None:
    component = TransformerComponent.load("sentiment", str(stars), STARS)
    assert (component.field, component.labels) == ("sentiment", ("negative", "neutral", "positive"))
    assert component.predict(documents())[0].model == "tiny-reviews/sentiment"
    assert component.predict([]) == []


def test_labels_called_like_ours_need_no_map_and_those_that_are_not_used_do_not_appear(make: Make) -> None:
    folder = make(["positive", "negative"])
    component = TransformerComponent.load("sentiment", str(folder))
    assert component.labels == ("negative", "positive")
    assert is_near(component.predict(documents())[1], alone(folder, TEXTS[1]))


def test_independent_labels_become_one_choice(make: Make) -> None:
    folder = make(["complaint", "other"], problem_type="multi_label_classification")
    for one in TransformerComponent.load("complaint", str(folder)).predict(documents()):
        assert math.isclose(sum(one.scores.values()), 1, abs_tol=1e-6)


def test_a_text_is_cut_to_what_the_model_reads(stars: Path) -> None:
    for most in (5, 32, 500):
        component = TransformerComponent.load("sentiment", str(stars), STARS, max_tokens=most)
        words = ["merci"] * 3 if most == 5 else ["merci"] * 30
        short, long, endless = component.predict(
            documents([" ".join(words), " ".join(words + ["facture"] * 50), "merci " * 50_000])
        )
        assert is_near(long, dict(short.scores)) and is_near(endless, dict(short.scores))


@pytest.mark.parametrize("text", ["", " ", "@someone", "...", "\ud800", "ـــ"])
def test_a_text_that_says_nothing_gets_a_low_score(stars: Path, text: str) -> None:
    [found] = TransformerComponent.load("sentiment", str(stars), STARS).predict([Document(text)])
    assert (found.label, round(found.score, 3)) == ("neutral", 0.667)


def test_half_a_letter_does_not_stop_a_batch(stars: Path) -> None:
    whole, broken = TransformerComponent.load("sentiment", str(stars), STARS).predict(
        documents(["merci beaucoup", "merci \ud83dbeaucoup"])
    )
    assert is_near(broken, dict(whole.scores))


def test_many_threads_may_share_it(stars: Path) -> None:
    component = TransformerComponent.load("sentiment", str(stars), STARS, batch=2)
    labels = [one.label for one in component.predict(documents())]
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(component.predict, [documents()] * 12):
            assert [one.label for one in found] == labels


def test_a_model_whose_tokenizer_cannot_pad_reads_texts_one_by_one(make: Make) -> None:
    folder = make(["complaint", "other"], has_padding=False)
    found = TransformerComponent.load("complaint", str(folder)).predict(documents())
    for text, one in zip(TEXTS, found, strict=True):
        assert is_near(one, alone(folder, text))


def test_a_label_that_is_not_mapped_is_named_with_what_is_expected(stars: Path) -> None:
    some = {label: ours for label, ours in STARS.items() if label != "spam"}
    with pytest.raises(ValueError) as raised:
        TransformerComponent.load("sentiment", str(stars), some)
    assert str(raised.value) == (
        f"The sentiment model {stars} cannot be used: its label 'spam' is not mapped to a sentiment: "
        'expected one of negative, neutral, positive, or "" to ignore it.'
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"a": "angry", "b": ""},
            "its label 'a' is mapped to 'angry', which is no sentiment: expected one of",
        ),
        ({"a": "negative", "b": "neutral", "c": ""}, "the model has no label 'c'; it has a, b"),
        ({"a": "negative", "b": ""}, "leave nothing to choose: map them to two or more of negative, neutral"),
        ({"a": "negative", "b": "negative"}, "leave nothing to choose"),
    ],
)
def test_a_map_that_cannot_be_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        label_map("sentiment", ["a", "b"], given)


def test_what_is_no_classifier_is_refused_with_the_reason(make: Make, tmp_path: Path) -> None:
    def said(model: Path, device: str = "cpu") -> str:
        with pytest.raises(ValueError) as raised:
            TransformerComponent.load("complaint", str(model), device=device)
        return str(raised.value)

    labels = ["complaint", "other"]
    assert "it is no text classifier, for its weights lack classifier.bias" in said(make(labels, has_head=False))
    assert "it gives a number, not a choice between labels" in said(make(["complaint"]))
    assert "it gives a number" in said(make(labels, problem_type="regression"))
    assert "there is no such folder" in said(tmp_path / "nowhere")
    assert said(tmp_path).startswith(f"The complaint model {tmp_path} cannot be used: ")
    assert "the device 'cuda:99' cannot be used" in said(make(labels), "cuda:99")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no such type"}))
    assert "no such type" in said(tmp_path)


def test_without_torch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ValueError, match=r"torch is not installed; pip install 'socialcrm\[transformers\]'"):
        TransformerComponent.load("intent", str(tmp_path))


def test_in_a_pipeline_it_replaces_the_component_of_its_field_and_no_other(stars: Path, pipeline: Pipeline) -> None:
    changed = pipeline.with_component(TransformerComponent.load("sentiment", str(stars), STARS))
    ours, theirs = pipeline.analyze(TEXTS), changed.analyze(TEXTS)
    for before, after, text in zip(ours, theirs, TEXTS, strict=True):
        for name in FIELDS:
            is_theirs = name == "sentiment"
            assert (getattr(before, name) != getattr(after, name)) == is_theirs, (name, text)
        assert after.sentiment is not None and after.sentiment.model == "tiny-reviews/sentiment"


def test_the_settings_choose_the_classifier_of_a_field(stars: Path) -> None:
    backend = Backend(backend="transformer", model=str(stars), labels=STARS)
    changed = load_pipeline(Understanding(sentiment=backend, transformer=Transformer(batch=2)))
    [document] = changed.analyze(["merci beaucoup"])
    assert document.sentiment is not None and document.sentiment.model == "tiny-reviews/sentiment"
    assert document.intent is not None and document.intent.model != "tiny-reviews/sentiment"


def test_a_mistake_in_the_settings_names_its_section(stars: Path) -> None:
    wrong = Backend(backend="transformer", model=str(stars), labels=STARS | {"1 star": "angry"})
    with pytest.raises(
        ValueError, match=r"'1 star' is mapped to 'angry'.*See understanding\.sentiment in the settings"
    ):
        load_pipeline(Understanding(sentiment=wrong))
