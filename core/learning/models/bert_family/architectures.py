"""What the encoders of the BERT family have in common, and where they differ: sizes, names, heads."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Family:
    """Names in a model type's Hugging Face state dict, and the shape of its classification head."""

    prefix: str
    """Before every encoder weight of a saved classifier; a bare encoder's file may lack it."""
    layer: str
    """Before every weight of a layer, with the layer's number."""
    query: str
    key: str
    value: str
    attention_output: str
    attention_norm: str
    inner: str
    output: str
    output_norm: str
    head: tuple[str, str]
    """The head's two linear layers; every family has a dense one, an activation and the classes' one."""
    head_activation: str
    """tanh, gelu or relu."""
    dropout_before_head: bool
    """Whether there is dropout before the dense layer too, not only behind its activation."""


_BERT_LAYER = {
    "layer": "encoder.layer.{}",
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "output": "output.dense",
    "output_norm": "output.LayerNorm",
}
_ROBERTA = Family(
    "roberta",
    **_BERT_LAYER,
    head=("classifier.dense", "classifier.out_proj"),
    head_activation="tanh",
    dropout_before_head=True,
)

FAMILIES: dict[str, Family] = {
    "bert": Family(
        "bert",
        **_BERT_LAYER,
        head=("bert.pooler.dense", "classifier"),
        head_activation="tanh",
        dropout_before_head=False,
    ),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "electra": Family(
        "electra",
        **_BERT_LAYER,
        head=("classifier.dense", "classifier.out_proj"),
        head_activation="gelu",
        dropout_before_head=True,
    ),
    "distilbert": Family(
        "distilbert",
        layer="transformer.layer.{}",
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        attention_output="attention.out_lin",
        attention_norm="sa_layer_norm",
        inner="ffn.lin1",
        output="ffn.lin2",
        output_norm="output_layer_norm",
        head=("pre_classifier", "classifier"),
        head_activation="relu",
        dropout_before_head=False,
    ),
}

_CLASSES = {
    "bert": "BertForSequenceClassification",
    "roberta": "RobertaForSequenceClassification",
    "xlm-roberta": "XLMRobertaForSequenceClassification",
    "electra": "ElectraForSequenceClassification",
    "distilbert": "DistilBertForSequenceClassification",
}


@dataclass(frozen=True)
class Architecture:
    """Sizes of one encoder, and the names of its weights."""

    family: Family
    transformers_class: str
    """The class of transformers that reads the saved classifier."""
    layers: int
    heads: int
    hidden: int
    inner: int
    vocabulary: int
    positions: int
    first_position: int
    """Row of the position table that a text's first token takes."""
    types: int
    """Rows of the token type table; 0 where there is none."""
    epsilon: float
    """In the layer norms."""
    dropout: float
    attention_dropout: float
    head_dropout: float
    deviation: float
    """Standard deviation of new weights."""

    def products(self, layer: int) -> dict[str, tuple[int, int]]:
        """Name and shape [out, in] of a layer's matrices; query, key and value are neighbours."""
        hidden, inner = self.hidden, self.inner
        shapes = {
            "query": (hidden, hidden),
            "key": (hidden, hidden),
            "value": (hidden, hidden),
            "attention_output": (hidden, hidden),
            "inner": (inner, hidden),
            "output": (hidden, inner),
        }
        return {self.name(layer, part): shape for part, shape in shapes.items()}

    def norms(self, layer: int) -> list[str]:
        """Names of a layer's two layer norms."""
        return [self.name(layer, "attention_norm"), self.name(layer, "output_norm")]

    def name(self, layer: int, part: str) -> str:
        """The state dict's name of a part of a layer, without `.weight` or `.bias`."""
        family = self.family
        return f"{family.prefix}.{family.layer.format(layer)}.{getattr(family, part)}"

    @property
    def embeddings(self) -> str:
        """Where the state dict has the embeddings."""
        return f"{self.family.prefix}.embeddings"


def matrix_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Name → shape of all layers' matrices, in their order in one block."""
    return {
        f"{name}.weight": shape
        for i in range(architecture.layers)
        for name, shape in architecture.products(i).items()
    }


def vector_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Name → shape of biases, norms, and the tables of places and types, in their order in one block."""
    hidden, embeddings = architecture.hidden, architecture.embeddings
    norms = [f"{embeddings}.LayerNorm"]
    shapes: dict[str, tuple[int, ...]] = {}
    for i in range(architecture.layers):
        shapes |= {f"{name}.bias": shape[:1] for name, shape in architecture.products(i).items()}
        norms += architecture.norms(i)
    shapes |= {f"{name}.{part}": (hidden,) for name in norms for part in ("weight", "bias")}
    shapes[f"{embeddings}.position_embeddings.weight"] = (architecture.positions, hidden)
    if architecture.types:
        shapes[f"{embeddings}.token_type_embeddings.weight"] = (architecture.types, hidden)
    return shapes


def read_architecture(config: dict[str, Any]) -> Architecture | None:
    """The architecture that a config.json tells of; None when it is not one that `bert` computes."""
    model_type = config.get("model_type")
    if model_type not in FAMILIES:
        return None
    sizes = _distilbert_sizes(config) if model_type == "distilbert" else _bert_sizes(config)
    if sizes is None or sizes["hidden"] % sizes["heads"] or sizes["hidden"] % 32 or sizes["inner"] % 32:
        return None
    positions_start = model_type in ("roberta", "xlm-roberta")
    return Architecture(
        family=FAMILIES[model_type],
        transformers_class=_CLASSES[model_type],
        vocabulary=config["vocab_size"],
        positions=config["max_position_embeddings"],
        # RoBERTa and its kin count positions from behind the padding id.
        first_position=config.get("pad_token_id", 1) + 1 if positions_start else 0,
        deviation=config.get("initializer_range", 0.02),
        **sizes,
    )


def _bert_sizes(config: dict[str, Any]) -> dict[str, Any] | None:
    hidden = config["hidden_size"]
    unusual = (
        config.get("hidden_act", "gelu") != "gelu"
        or config.get("position_embedding_type", "absolute") != "absolute"
        or config.get("embedding_size", hidden) != hidden
        or config.get("is_decoder", False)
    )
    if unusual:
        return None
    dropout = config.get("hidden_dropout_prob", 0.1)
    head_dropout = config.get("classifier_dropout")
    return {
        "layers": config["num_hidden_layers"],
        "heads": config["num_attention_heads"],
        "hidden": hidden,
        "inner": config["intermediate_size"],
        "types": config.get("type_vocab_size", 2),
        "epsilon": config.get("layer_norm_eps", 1e-12),
        "dropout": dropout,
        "attention_dropout": config.get("attention_probs_dropout_prob", 0.1),
        "head_dropout": dropout if head_dropout is None else head_dropout,
    }


def _distilbert_sizes(config: dict[str, Any]) -> dict[str, Any] | None:
    if config.get("activation", "gelu") != "gelu":
        return None
    return {
        "layers": config["n_layers"],
        "heads": config["n_heads"],
        "hidden": config["dim"],
        "inner": config["hidden_dim"],
        "types": 0,
        "epsilon": 1e-12,
        "dropout": config.get("dropout", 0.1),
        "attention_dropout": config.get("attention_dropout", 0.1),
        "head_dropout": config.get("seq_classif_dropout", 0.2),
    }
