"""A classifier of any architecture of the Hugging Face hub: transformers' own model."""

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification
from transformers.utils import logging as transformers_logging

from core.base.errors import UserError
from core.base.formatting import count
from core.learning.batching import Batch
from core.learning.config import TrainingConfig
from core.learning.hardware import Hardware
from core.learning.models.optimizer import ModelAdamW
from core.learning.models.recorded_model_steps import RecordedModelSteps
from core.learning.models.trainable import Trainable

# It reports each load of an encoder as if the new classification head were a fault.
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()


LossOf = Callable[[torch.Tensor], torch.Tensor]
"""A batch's loss, of its logits [texts, classes]."""


class HubNetwork(Trainable):
    """See `interface.Network`. No code of the folder runs.

    Args:
        folder: config.json and model.safetensors, of a bare encoder or of a classifier.
        label2id: classes of a new head; None takes head and classes from the folder.
        obstacle: why it is not computed by this project's encoder for a GPU, as a clause; None elsewhere.

    Raises:
        UserError: head and classes are to be the folder's, and it lacks weights: they would be random.
    """

    _optimizer: ModelAdamW | None = None
    part_tokens: int | None = None

    def __init__(
        self,
        folder: Path,
        hardware: Hardware,
        label2id: dict[str, int] | None,
        obstacle: str | None = None,
    ) -> None:
        self.computed_by = f"by transformers' own model, because {obstacle}" if obstacle else ""
        safe = {"trust_remote_code": False, "local_files_only": True}
        config = AutoConfig.from_pretrained(folder, **safe)
        if label2id is not None:
            config.label2id = label2id
            config.id2label = {number: label for label, number in label2id.items()}
            # Several labels per text is another problem type; one label per text is the only one here.
            config.problem_type = "single_label_classification"
        model, found = AutoModelForSequenceClassification.from_pretrained(
            folder, config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **safe
        )
        if label2id is None and found["missing_keys"]:
            raise _incomplete(sorted(found["missing_keys"]))
        self.names = [config.id2label[i] for i in range(config.num_labels)]
        self.device = hardware.device
        self._hardware = hardware
        self._model = model.to(hardware.device).eval()

    @property
    def nbytes(self) -> int:
        return sum(weight.nbytes for weight in self._weights().values())

    def begin(self, step: int) -> None:
        self._model.zero_grad(set_to_none=True)

    def forward(self, batch: Batch) -> torch.Tensor:
        self._model.train()
        return self._forward(batch)

    def backward(self, loss: torch.Tensor) -> None:
        self._scaler.scale(loss).backward()

    @torch.inference_mode()
    def logits(self, batch: Batch) -> torch.Tensor:
        self._model.eval()
        return self._forward(batch)

    def exact(self) -> "HubNetwork":
        if self.precision == "fp32":
            return self
        twin = copy(self)
        twin._hardware = replace(self._hardware, precision="fp32")
        return twin

    @torch.inference_mode()
    def mean_states(self, batch: Batch, layers: int) -> torch.Tensor:
        self._model.eval()
        padding = torch.zeros_like(batch.ids, dtype=torch.bool) if batch.padding is None else batch.padding
        tokens = self._moved(~padding)
        with self._autocast():
            found = self._model.base_model(
                input_ids=self._moved(batch.ids), attention_mask=tokens.long(), output_hidden_states=True
            )
        kept = tokens[:, None, :, None]
        states = torch.stack(found.hidden_states[-layers:], dim=1).float()
        return (states * kept).sum(dim=2) / kept.sum(dim=2)

    @property
    def precision(self) -> str:
        return self._hardware.precision

    @property
    def hidden(self) -> int:
        return self._model.config.hidden_size

    def record_steps(
        self, class_weights: torch.Tensor, config: TrainingConfig
    ) -> "RecordedModelSteps | None":
        # A loss scaler looks at every step's gradients from the processor.
        if self.device != "cuda" or self._scaler.is_enabled():
            return None
        return RecordedModelSteps(self, class_weights.to(self.device), config.gradient_clipping)

    def prepare_training(self, config: TrainingConfig, total_steps: int) -> None:
        self._scaler = torch.amp.GradScaler(self.device, enabled=self._hardware.precision == "fp16")
        self._optimizer = ModelAdamW(self._model, config.weight_decay, self._scaler)

    def _state(self) -> dict[str, torch.Tensor]:
        state = {f"model.{name}": value for name, value in self._weights().items()}
        if self.device == "cuda":
            state["random.cuda"] = torch.cuda.get_rng_state()
        return state | {"random": torch.get_rng_state()}

    @torch.no_grad()
    def _load_state(self, state: dict[str, torch.Tensor]) -> None:
        for name, value in self._weights().items():
            value.copy_(state[f"model.{name}"])
        torch.set_rng_state(state["random"])
        if self.device == "cuda":
            torch.cuda.set_rng_state(state["random.cuda"])

    def save(self, folder: Path) -> None:
        self._model.save_pretrained(folder)

    def _weights(self) -> dict[str, torch.Tensor]:
        """Name → weight or buffer; of tied ones, which are the same tensor, the first name."""
        found, seen = {}, set()
        for name, value in self._model.state_dict().items():
            place = (value.data_ptr(), value.shape, value.stride())
            if value.numel() == 0 or place not in seen:
                found[name] = value
            seen.add(place)
        return found

    def learn(self, inputs: dict[str, torch.Tensor], loss_of: LossOf, largest: float) -> None:
        """One step of all weights, without the processor's help.

        Args:
            inputs: as the model takes them.
            loss_of: a scalar of the logits.
        """
        self._model.train()
        self._model.zero_grad(set_to_none=True)
        # A graph holds no copy of the weights that an earlier step has made.
        with self._autocast(cached=False):
            logits = self._model(**inputs).logits.float()
        loss_of(logits).backward()
        self.optimizer.clip(largest)
        self.optimizer.update()

    def set_learning_rate(self, learning_rate: float) -> None:
        """Of the next `learn`."""
        self.optimizer.set_learning_rate(learning_rate)

    @property
    def optimizer(self) -> ModelAdamW:
        if self._optimizer is None:
            raise RuntimeError("the network is not prepared for training")
        return self._optimizer

    @property
    def padding_id(self) -> int:
        """Token that stands where a text has none; some models count places by it."""
        return getattr(self._model.config, "pad_token_id", None) or 0

    @property
    def places(self) -> int:
        """Tokens that a text may have at most; a very large number where the model sets no bound."""
        return getattr(self._model.config, "max_position_embeddings", None) or 1 << 30

    def _forward(self, batch: Batch) -> torch.Tensor:
        padding = torch.zeros_like(batch.ids, dtype=torch.bool) if batch.padding is None else batch.padding
        with self._autocast():
            return self._model(
                input_ids=self._moved(batch.ids), attention_mask=self._moved(~padding).long()
            ).logits.float()

    def _moved(self, tensor: torch.Tensor) -> torch.Tensor:
        if self.device != "cuda":
            return tensor.to(self.device)
        # From pinned memory, so that the copy does not make the processor wait for the GPU.
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def _autocast(self, cached: bool = True) -> torch.autocast:
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": None}[self._hardware.precision]
        return torch.autocast(self.device, dtype=dtype, enabled=dtype is not None, cache_enabled=cached)


def _incomplete(missing: list[str]) -> UserError:
    return UserError(
        "a classifier with all its weights",
        f"{count(len(missing), 'weight')} missing, such as {missing[0]}",
        "Choose another model, or replace the folder by a whole one.",
    )
