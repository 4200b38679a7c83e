"""The written-out encoders against transformers' models of the same weights."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.base.errors import UserError
from core.learning import pretrained
from core.learning.batching import Batch, encode
from core.learning.config import TrainingConfig
from core.learning.hardware import Hardware
from core.learning.models.bert_family.architectures import FAMILIES
from core.learning.models.cpu_bert import dropout
from core.learning.models.cpu_bert.classifier import BertNetwork
from core.learning.models.interface import load_finetuned, load_for_training
from core.learning.models.transformers_model import HubNetwork
from core.learning.tokenizer import TextTokenizer

FP32, BF16 = Hardware("cpu", "fp32", "test"), Hardware("cpu", "bf16", "test")
LABELS = {"a": 0, "b": 1, "c": 2}
SIZES = {
    "vocab_size": 90,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "max_position_embeddings": 40,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "classifier_dropout": 0.0,
}
DISTILBERT_SIZES = {
    "vocab_size": 90,
    "dim": 64,
    "n_layers": 3,
    "n_heads": 4,
    "hidden_dim": 96,
    "max_position_embeddings": 40,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "seq_classif_dropout": 0.0,
}


def make(folder, model_type, **settings):
    """A saved classifier of transformers with weights that are all different from their start."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    sizes = DISTILBERT_SIZES if model_type == "distilbert" else SIZES
    padding = {"pad_token_id": 1} if "roberta" in model_type else {}
    if model_type == "electra":
        settings = {"embedding_size": 64} | settings
    labels = {"label2id": LABELS, "id2label": {i: label for label, i in LABELS.items()}}
    config = AutoConfig.for_model(model_type, **(sizes | padding | labels | settings))
    torch.manual_seed(3)
    model = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model.eval()


def batch(lengths, seed=0):
    """Random tokens, padded to the longest text."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 90, (len(lengths), max(lengths)), generator=generator)
    padding = torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]
    ids[padding] = 1
    labels = torch.randint(0, 3, (len(lengths),), generator=generator)
    return Batch(ids, padding if padding.any() else None, labels)


def of_transformers(model, batch):
    mask = torch.ones_like(batch.ids) if batch.padding is None else (~batch.padding).long()
    return model(input_ids=batch.ids, attention_mask=mask).logits


# Ragged, equally long, one text, and texts of one token, whose last layer has as many queries as keys.
BATCHES = [batch([17, 3, 30, 9, 1]), batch([12, 12, 12]), batch([7]), batch([1, 1])]


@pytest.fixture(params=sorted(FAMILIES))
def pair(request, tmp_path):
    """transformers' model, and our network of the same folder."""
    model = make(tmp_path / "model", request.param)
    network = load_finetuned(tmp_path / "model", FP32)
    assert isinstance(network, BertNetwork)
    return model, network


def test_logits_equal_those_of_transformers(pair):
    model, network = pair
    for texts in BATCHES:
        with torch.no_grad():
            expected = of_transformers(model, texts)
        assert expected.std() > 0.02
        assert torch.allclose(network.logits(texts), expected, atol=1e-5)


def gradients(network):
    """Name → gradient, of everything that the last batch gave."""
    encoder = network._encoder
    matrices, vectors = encoder.matrix_gradients().float(), encoder.vectors.gradients
    found = {name: encoder.matrices.view(matrices, name) for name in encoder.matrices.shapes}
    found |= {name: encoder.vectors.view(vectors, name) for name in encoder.vectors.shapes}
    words = torch.zeros_like(encoder.words)
    for ids, rows in encoder.word_gradients:
        words.index_add_(0, ids, rows)
    found[f"{encoder.architecture.embeddings}.word_embeddings.weight"] = words
    layers = [layer for layer in network._head if isinstance(layer, torch.nn.Linear)]
    for name, layer in zip(network._architecture.family.head, layers, strict=True):
        found[f"{name}.weight"], found[f"{name}.bias"] = layer.weight.grad, layer.bias.grad
    return found


def learn(network, *batches):
    network.begin(0)
    for texts in batches:
        logits = network.forward(texts)
        network.backward(torch.nn.functional.cross_entropy(logits, texts.labels, reduction="sum"))
    return gradients(network)


def test_gradients_equal_those_of_transformers(pair):
    model, network = pair
    network.prepare_training(TrainingConfig(), 10)
    for texts in BATCHES:
        model.zero_grad()
        loss = torch.nn.functional.cross_entropy(of_transformers(model, texts), texts.labels, reduction="sum")
        loss.backward()
        found = learn(network, texts)
        expected = dict(model.named_parameters())
        assert found.keys() == expected.keys()
        for name, parameter in expected.items():
            largest = parameter.grad.abs().max().item()
            # A key's bias adds the same to all scores of a query: its gradient is zero but for rounding.
            bound = 1e-4 * largest + 1e-6
            assert torch.allclose(found[name], parameter.grad, atol=bound), name


def cut(texts, size):
    """The batch in parts of at most `size` texts, as wide as it is."""
    return [
        Batch(texts.ids[i : i + size], texts.padding[i : i + size], texts.labels[i : i + size])
        for i in range(0, len(texts.ids), size)
    ]


def test_gradients_of_parts_add_up(pair):
    _, network = pair
    network.prepare_training(TrainingConfig(), 10)
    texts = BATCHES[0]
    parts = cut(texts, 2)
    whole = {name: gradient.clone() for name, gradient in learn(network, texts).items()}
    for name, gradient in learn(network, *parts).items():
        assert torch.allclose(gradient, whole[name], atol=1e-5), name
    # What an earlier batch left does not count.
    for name, gradient in learn(network, texts).items():
        assert torch.allclose(gradient, whole[name], atol=1e-6), name


def test_gradients_of_parts_add_up_in_float32_when_the_products_are_bfloat16(tmp_path):
    make(tmp_path, "bert")
    network = load_finetuned(tmp_path, BF16)
    network.prepare_training(TrainingConfig(), 10)
    parts = cut(BATCHES[0], 1)
    alone = [{name: gradient.clone() for name, gradient in learn(network, part).items()} for part in parts]
    for name, gradient in learn(network, *parts).items():
        expected = sum(gradients[name] for gradients in alone)
        # In bfloat16 a sum of five would be off by some 1e-2 of its largest value.
        assert torch.allclose(gradient, expected, atol=1e-5 * expected.abs().max().item() + 1e-7), name


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_gradients_with_dropout_are_those_of_the_loss_under_the_same_masks(tmp_path, model_type):
    names = ("dropout", "attention_dropout", "seq_classif_dropout")
    if model_type != "distilbert":
        names = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
    make(tmp_path, model_type, **dict(zip(names, (0.3, 0.2, 0.4), strict=True)))
    network = load_finetuned(tmp_path, FP32)
    network.prepare_training(TrainingConfig(), 10)
    texts = BATCHES[0]

    def loss():
        """Of step 5, whose masks are always the same; the head draws its own from torch."""
        torch.manual_seed(2)
        network.begin(5)
        found = torch.nn.functional.cross_entropy(network.forward(texts), texts.labels)
        network.backward(found)
        return found.item()

    loss()
    for name, gradient in {name: gradient.clone() for name, gradient in gradients(network).items()}.items():
        slope = gradient.norm().item()
        if slope < 1e-3:
            assert name.endswith(("key.bias", "k_lin.bias")), name
            continue
        weight, losses = network._weights()[name], []
        start = weight.detach().clone()
        for way in (0.01, -0.01):
            with torch.no_grad():
                weight.copy_(start + way / slope * gradient)
                network._encoder.refresh()
            losses.append(loss())
        with torch.no_grad():
            weight.copy_(start)
        # Two losses of about one, in float32, 0.02 apart: 1e-5 of rounding beside what is curved.
        assert (losses[0] - losses[1]) / 0.02 == pytest.approx(slope, rel=0.02, abs=5e-4), name


def test_bfloat16_is_close(pair):
    _, exact = pair
    network = load_finetuned_again(exact, BF16)
    for texts in BATCHES:
        difference = (network.logits(texts) - exact.logits(texts)).abs().max().item()
        # Eight bits of mantissa, three layers: a few hundredths of logits around one, and not nothing.
        assert 0 < difference < 0.05
    network.prepare_training(TrainingConfig(), 10)
    exact.prepare_training(TrainingConfig(), 10)
    wanted = learn(exact, *BATCHES)
    for name, gradient in learn(network, *BATCHES).items():
        if name.endswith(("key.bias", "k_lin.bias")):
            continue
        # The softmax's small gradients lose most.
        assert (gradient - wanted[name]).norm() < 0.2 * wanted[name].norm(), name


def load_finetuned_again(network, hardware):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        network.save(Path(folder))
        return load_finetuned(Path(folder), hardware)


def test_a_saved_folder_is_one_of_transformers(pair, tmp_path):
    from transformers import AutoModelForSequenceClassification

    _, network = pair
    (tmp_path / "saved").mkdir()
    network.save(tmp_path / "saved")
    model, report = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "saved", output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.config.label2id == LABELS
    with torch.no_grad():
        assert torch.allclose(of_transformers(model, BATCHES[0]), network.logits(BATCHES[0]), atol=1e-5)


def test_what_was_saved_is_loaded_to_the_bit(pair, tmp_path):
    _, network = pair
    (tmp_path / "saved").mkdir()
    network.save(tmp_path / "saved")
    again = load_finetuned(tmp_path / "saved", FP32)
    assert again.names == network.names == list(LABELS)
    assert again._weights().keys() == network._weights().keys()
    assert all(torch.equal(value, again._weights()[name]) for name, value in network._weights().items())
    assert torch.equal(again.logits(BATCHES[0]), network.logits(BATCHES[0]))


@pytest.mark.parametrize("with_prefix", [False, True])
@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_a_bare_encoder_with_the_oldest_names_gets_a_new_head(tmp_path, model_type, with_prefix):
    make(tmp_path, model_type)
    family = FAMILIES[model_type]
    # BERT's dense layer of the head is the pooler, which is pre-trained like the rest.
    new = ("classifier",) if model_type == "bert" else family.head
    prefix = f"{family.prefix}."
    weights = load_file(tmp_path / "model.safetensors")
    old = {
        (prefix if with_prefix else "")
        + name.removeprefix(prefix)
        .replace("LayerNorm.weight", "LayerNorm.gamma")
        .replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in weights.items()
        if not name.startswith(new)
    }
    assert any("gamma" in name for name in old)
    save_file(old | {"cls.predictions.bias": torch.zeros(90)}, tmp_path / "model.safetensors")
    network = load_for_training(tmp_path, {"x": 0, "y": 1, "z": 2, "w": 3}, FP32, seed=1)
    assert network.names == ["x", "y", "z", "w"]
    found = network._weights()
    assert found[f"{family.head[1]}.weight"].shape == (4, 64)
    for name, value in weights.items():
        if not name.startswith(new):
            assert torch.equal(found[name], value), name


def test_the_new_head_follows_the_seed(tmp_path):
    make(tmp_path, "roberta")
    heads = [
        load_for_training(tmp_path, LABELS, FP32, seed)._weights()["classifier.out_proj.weight"].clone()
        for seed in (1, 1, 2)
    ]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


@pytest.mark.parametrize("fault", ["missing", "shape"])
@pytest.mark.parametrize(
    "name",
    [
        "bert.encoder.layer.1.output.dense.weight",
        "bert.encoder.layer.0.attention.output.LayerNorm.bias",
        "bert.embeddings.word_embeddings.weight",
        "bert.embeddings.position_embeddings.weight",
        "bert.pooler.dense.bias",
        "classifier.weight",
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, name, fault):
    make(tmp_path, "bert")
    weights = load_file(tmp_path / "model.safetensors")
    value = weights.pop(name)
    if fault == "shape":
        weights[name] = value[..., :1].clone()
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=name):
        load_finetuned(tmp_path, FP32)


@pytest.mark.parametrize(
    ("model_type", "settings"),
    [
        ("bert", {"hidden_act": "gelu_new"}),
        ("bert", {"is_decoder": True}),
        ("bert", {"position_embedding_type": "relative_key"}),
        ("bert", {"hidden_size": 40, "num_attention_heads": 2}),
        ("electra", {"embedding_size": 32}),
        ("distilbert", {"activation": "relu"}),
        ("albert", {"embedding_size": 32}),
    ],
)
def test_every_other_architecture_is_left_to_transformers(tmp_path, model_type, settings):
    make(tmp_path, model_type, **settings)
    network = load_for_training(tmp_path, LABELS, FP32, seed=1)
    assert isinstance(network, HubNetwork)
    network.prepare_training(TrainingConfig(), 10)
    before = network.logits(BATCHES[0])
    network.begin(0)
    network.backward(torch.nn.functional.cross_entropy(network.forward(BATCHES[0]), BATCHES[0].labels))
    network.update_weights(1e-3)
    assert not torch.allclose(network.logits(BATCHES[0]), before)


def test_long_texts_take_the_other_softmax(tmp_path):
    make(tmp_path, "bert", max_position_embeddings=128)
    exact, network = load_finetuned(tmp_path, FP32), load_finetuned(tmp_path, BF16)
    texts = batch([100, 80, 90])
    assert (network.logits(texts) - exact.logits(texts)).abs().max() < 0.05
    network.prepare_training(TrainingConfig(), 10)
    exact.prepare_training(TrainingConfig(), 10)
    wanted = learn(exact, texts)
    for name, gradient in learn(network, texts).items():
        if not name.endswith("key.bias"):
            assert (gradient - wanted[name]).norm() < 0.2 * wanted[name].norm(), name


def test_dropout_changes_what_is_learned_and_not_what_is_answered(tmp_path, monkeypatch):
    # Enough for these small masks, and drawn in a moment.
    monkeypatch.setattr(dropout, "POOL", 1 << 18)
    make(tmp_path, "bert", hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.2, classifier_dropout=0.1)
    network = load_finetuned(tmp_path, FP32)
    network.prepare_training(TrainingConfig(), 1000)
    answers = network.logits(BATCHES[0])
    assert torch.equal(answers, network.logits(BATCHES[0]))
    torch.manual_seed(0)
    drawn = []
    for step in range(300):
        network.begin(step)
        drawn.append(network.forward(BATCHES[0]).detach())
    drawn = torch.stack(drawn)
    assert (drawn.std(dim=0) > 1e-3).all()
    # In the mean over many masks the logits are near those without: dropout keeps the expectation.
    assert (drawn.mean(dim=0) - answers).abs().max() < 0.15 * answers.std() + 5 * drawn.std() / 300**0.5


@pytest.mark.slow
def test_the_embedded_encoder_is_that_of_transformers():
    from transformers import AutoModel

    folder = pretrained.resolve("bundled")
    texts = ["The parcel came a day early.", "Nobody answered, twice!", "ok", "long " * 90]
    dataset = encode(texts, [0] * 4, TextTokenizer(folder, 64))
    network = load_for_training(folder, LABELS, FP32, seed=1)
    from core.learning.batching import collate

    together = collate(dataset, torch.arange(4).numpy())
    with torch.no_grad():
        model = AutoModel.from_pretrained(folder).eval()
        mask = (~together.padding).long()
        expected = model(input_ids=together.ids, attention_mask=mask).last_hidden_state[:, 0]
        found, _ = network._encoder.forward(together.ids, together.padding, None, tape=False)
    assert torch.allclose(found, expected, atol=1e-5)
