"""AdamW with clipping: of a transformers model, and of a written-out encoder with its flat blocks.

Weight decay pulls matrices alone: biases and norms have a scale of their own, and an embedding row that no
text contains should stay exactly as it was.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from core.learning.models.cpu_bert.encoder import BertEncoder
from core.learning.models.torch_operations import (
    BETA1,
    BETA2,
    EPSILON,
    SCALER_STATE,
    Moments,
    update_adamw,
)

HORIZON = 256
"""Steps after which a momentum that nothing feeds has faded to 1e-12 of itself."""


MEAN_DELAY = 9
"""Steps by which what a momentum still gives is late in the mean: the mean of a geometric series of β1."""


PIECE = 1 << 21
"""Values updated at once: a float32 copy of all gradients would take as much memory as the weights do."""


class Optimizer(Protocol):
    """What turns a batch's gradients into new weights."""

    def clip(self, largest: float) -> None:
        """Scale all gradients so that their common norm is at most `largest`; 0 leaves them as they are."""

    def step(self, learning_rate: float) -> None:
        """Update the weights."""

    def state(self) -> dict[str, Tensor]:
        """What the next step depends on beside weights and gradients."""

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` gave, in a fresh optimizer of a fresh network."""


class ModelAdamW:
    """For any torch module, on any device."""

    def __init__(self, model: nn.Module, weight_decay: float, scaler: torch.amp.GradScaler) -> None:
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        tables = {id(table.weight) for table in model.modules() if isinstance(table, nn.Embedding)}
        decayed = [p for p in self._parameters if p.ndim > 1 and id(p) not in tables]
        spared = [p for p in self._parameters if p.ndim <= 1 or id(p) in tables]
        groups = [
            {"params": decayed, "weight_decay": weight_decay},
            {"params": spared, "weight_decay": 0.0},
        ]
        device = self._parameters[0].device
        on_gpu = device.type == "cuda"
        # On the GPU, where a recorded step reads it.
        self._rate = torch.zeros((), device=device)
        rate: dict[str, Any] = {"lr": self._rate, "capturable": True} if on_gpu else {}
        self._adamw = torch.optim.AdamW(groups, betas=(BETA1, BETA2), eps=EPSILON, fused=True, **rate)
        self._scaler = scaler

    def clip(self, largest: float) -> None:
        if largest:
            self._scaler.unscale_(self._adamw)
            torch.nn.utils.clip_grad_norm_(self._parameters, largest)

    def step(self, learning_rate: float) -> None:
        self.set_learning_rate(learning_rate)
        self.update()

    def set_learning_rate(self, learning_rate: float) -> None:
        """Of the next update."""
        self._rate.fill_(learning_rate)
        for group in self._adamw.param_groups:
            if not isinstance(group["lr"], Tensor):
                group["lr"] = learning_rate

    def update(self) -> None:
        """Update the weights, on a GPU without the processor's help unless a scaler is in use."""
        self._scaler.step(self._adamw)
        self._scaler.update()

    def state(self) -> dict[str, Tensor]:
        state = {
            f"{i}.{name}": value
            for i, parameter in enumerate(self._all())
            for name, value in self._adamw.state[parameter].items()
        }
        # Empty where nothing is scaled.
        scaler = self._scaler.state_dict()
        found = {name: torch.tensor(scaler[key]) for name, key in SCALER_STATE.items() if key in scaler}
        return state | found

    def load_state(self, state: dict[str, Tensor]) -> None:
        for i, parameter in enumerate(self._all()):
            self._adamw.state[parameter] = {
                # torch's fused update wants the count of steps where the parameter is.
                name: state[f"{i}.{name}"].to(parameter.device).clone()
                for name in ("step", "exp_avg", "exp_avg_sq")
                if f"{i}.{name}" in state
            }
        if self._scaler.is_enabled():
            found = {key: state[name].item() for name, key in SCALER_STATE.items() if name in state}
            self._scaler.load_state_dict(self._scaler.state_dict() | found)

    def _all(self) -> list[Tensor]:
        return [parameter for group in self._adamw.param_groups for parameter in group["params"]]


class EncoderAdamW:
    """For an encoder with flat blocks and a small head: one update for each block, and one for words.

    Args:
        total_steps: the most that will be asked for.
    """

    def __init__(self, encoder: BertEncoder, head: nn.Module, weight_decay: float, total_steps: int) -> None:
        self._encoder = encoder
        self._head = list(head.parameters())
        self._decayed = _Moments(
            [encoder.matrices.values, *(p for p in self._head if p.ndim > 1)], weight_decay
        )
        self._spared = _Moments([encoder.vectors.values, *(p for p in self._head if p.ndim <= 1)], 0.0)
        self._words = WordRows(encoder.words, total_steps)
        self._collected: _Gradients | None = None

    def clip(self, largest: float) -> None:
        self._collected = self._collect()
        if largest:
            self._collected.scale = _clip_scale(self._collected.all(), largest)

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        found = self._collected or self._collect()
        self._decayed.step(found.decayed, found.scale, learning_rate)
        self._spared.step(found.spared, found.scale, learning_rate)
        self._words.step(found.ids, found.rows.mul_(found.scale), learning_rate)
        self._encoder.refresh()
        self._collected = None

    @torch.no_grad()
    def _collect(self) -> "_Gradients":
        ids, rows = _summed(self._encoder.word_gradients)
        # The backward pass has given every parameter of the head its gradient: none is None.
        decayed: list[Tensor] = [
            self._encoder.matrix_gradients(),
            *(p.grad for p in self._head if p.ndim > 1),  # type: ignore[list-item]
        ]
        spared: list[Tensor] = [
            self._encoder.vectors.gradients,
            *(p.grad for p in self._head if p.ndim <= 1),  # type: ignore[list-item]
        ]
        return _Gradients(decayed, spared, ids, rows)

    def settle(self, words: Tensor | None = None) -> None:
        """Carry out what was put off; before weights are read.

        Args:
            words: token ids of any shape; only what is read for them. None for all weights.
        """
        self._words.settle(words)

    def state(self) -> dict[str, Tensor]:
        return {
            f"{part}.{name}": value
            for part, of in self._parts().items()
            for name, value in of.state().items()
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        for part, of in self._parts().items():
            prefix = f"{part}."
            of.load_state({n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)})

    def _parts(self) -> dict[str, "_Moments | WordRows"]:
        return {"decayed": self._decayed, "spared": self._spared, "words": self._words}


@dataclass
class _Gradients:
    """Of one batch: of the blocks that decay, of those that do not, and of the rows of the words `ids`."""

    decayed: list[Tensor]
    spared: list[Tensor]
    ids: Tensor
    rows: Tensor
    scale: float = 1.0
    """What all of them are multiplied by."""

    def all(self) -> list[Tensor]:
        return [*self.decayed, *self.spared, self.rows]


class _Moments:
    """AdamW's moments of some blocks, and torch's fused update of them."""

    def __init__(self, values: list[Tensor], weight_decay: float) -> None:
        self._values = values
        self._weight_decay = weight_decay
        self._first = [torch.zeros_like(block) for block in values]
        self._second = [torch.zeros_like(block) for block in values]
        self._steps = [torch.zeros(()) for _ in values]

    def state(self) -> dict[str, Tensor]:
        """Moments and counts, not the values: views, not copies."""
        tensors = {"first": self._first, "second": self._second, "steps": self._steps}
        return {f"{name}.{i}": value for name, values in tensors.items() for i, value in enumerate(values)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        for name, value in self.state().items():
            value.copy_(state[name])

    def step(self, gradients: list[Tensor], scale: float, learning_rate: float) -> None:
        """Update with gradients of any format times `scale`; they are not changed."""
        for i, gradient in enumerate(gradients):
            self._steps[i] += 1
            for values, part, first, second in zip(
                _pieces(self._values[i]),
                _pieces(gradient),
                _pieces(self._first[i]),
                _pieces(self._second[i]),
                strict=True,
            ):
                moments = Moments(first, second, self._steps[i])
                update_adamw(values, part.float() * scale, moments, learning_rate, self._weight_decay)


class MissedSteps:
    """When each row of a table was touched, and what it makes up for when it is next read.

    Dense AdamW moves a row on after its last gradient, by its fading momentum. Here a row stands still
    until it is touched or read, and then makes up for the steps it missed, in closed form: with first and
    second moment m and v after step s, the missed steps s + j together subtract

        m / √v · Σ_j rate(s + j) · (β1 / √β2)^j · √(1 - β2^(s+j)) / (1 - β1^(s+j))

    which is the dense update but for ε, which is added to √v as it is `MEAN_DELAY` steps after s. A row
    that is never touched has no moments and stays as it was, to the bit.

    Args:
        rows: of the table.
        total_steps: the most that will be asked for.
    """

    def __init__(self, rows: int, total_steps: int) -> None:
        self.touched_at = np.zeros(rows, dtype=np.int64)
        self.step = 0
        # By step s: the sum above, up to the present step.
        self.sums = np.zeros(total_steps + 1)
        steps = np.arange(total_steps + 1)
        self._first_left, self._second_left = BETA1**steps, BETA2**steps
        self._epsilons = EPSILON * np.sqrt(1 - BETA2 ** (steps + MEAN_DELAY))
        self._fade = (BETA1 / BETA2**0.5) ** np.arange(HORIZON, 0, -1)

    def late(self) -> np.ndarray:
        """The rows that were touched, and not since the last step."""
        return np.flatnonzero((self.touched_at > 0) & (self.touched_at < self.step))

    def of(self, ids: np.ndarray) -> np.ndarray:
        """float64 [rows, 4]: the sum above, what is left of first and second moment, and ε.

        A row that was never touched has no moments: it misses nothing, whatever stands there.
        """
        touched_at = self.touched_at[ids]
        missed = self.step - touched_at
        found = np.empty((len(ids), 4))
        found[:, 0] = self.sums[touched_at]
        found[:, 1] = self._first_left[missed]
        found[:, 2] = self._second_left[missed]
        found[:, 3] = self._epsilons[touched_at]
        return found

    def settle(self, ids: np.ndarray) -> None:
        """These rows have made up for what they missed."""
        touched_at = self.touched_at[ids]
        self.touched_at[ids] = np.where(touched_at > 0, self.step, touched_at)

    def ahead(self, learning_rate: float) -> tuple[float, float]:
        """The next step's rate and its ε, both with the corrections of the moments."""
        correction = (1 - BETA2 ** (self.step + 1)) ** 0.5
        return learning_rate * correction / (1 - BETA1 ** (self.step + 1)), EPSILON * correction

    def advance(self, learning_rate: float) -> None:
        """Count a step."""
        self.step += 1
        start = max(0, self.step - HORIZON)
        correction = (1 - BETA2**self.step) ** 0.5 / (1 - BETA1**self.step)
        self.sums[start : self.step] += learning_rate * correction * self._fade[start - self.step :]

    def touch(self, ids: np.ndarray) -> None:
        """These rows are now as the present step has them."""
        self.touched_at[ids] = self.step


class WordRows:
    """AdamW, without decay, of an embedding table in which each step touches few rows; see `MissedSteps`.

    Args:
        values: float32 [rows, width], updated in place.
        total_steps: the most that will be asked for.
    """

    def __init__(self, values: Tensor, total_steps: int) -> None:
        self.values = values
        self.missed = MissedSteps(len(values), total_steps)
        self._first = torch.zeros_like(values)
        self._second = torch.zeros_like(values)

    def step(self, ids: Tensor, gradients: Tensor, learning_rate: float) -> None:
        """Update the rows `ids`, each named once, with gradients [ids, width]."""
        first, second, values = self._made_up(ids)
        rate, epsilon = self.missed.ahead(learning_rate)
        self.missed.advance(learning_rate)
        first.lerp_(gradients, 1 - BETA1)
        second.mul_(BETA2).addcmul_(gradients, gradients, value=1 - BETA2)
        values.addcdiv_(first, second.sqrt().add_(epsilon), value=-rate)
        self._put(ids, first, second, values)

    @torch.no_grad()
    def settle(self, ids: Tensor | None = None) -> None:
        """Let rows make up for what they missed: these, named any number of times, or all."""
        late = self.missed.late()
        if ids is not None:
            read = np.zeros(len(self.values), dtype=bool)
            read[ids.numpy()] = True
            late = late[read[late]]
        rows = torch.from_numpy(late)
        self._put(rows, *self._made_up(rows))

    def state(self) -> dict[str, Tensor]:
        """Values and moments of the touched rows; the others are as the pre-trained model has them."""
        ids = torch.from_numpy(np.flatnonzero(self.missed.touched_at))
        return word_state(self.missed, ids, (self.values, self._first, self._second))

    def load_state(self, state: dict[str, Tensor]) -> None:
        load_word_state(state, self.missed, (self.values, self._first, self._second))

    def _made_up(self, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sums, first_left, second_left, epsilon = map(_column, self.missed.of(ids.numpy()).T)
        first, second, values = self._first[ids], self._second[ids], self.values[ids]
        # Where nothing was ever touched the momentum is zero and so is the quotient, whatever the divisor.
        quotient = first / (second.sqrt() + epsilon.clamp_(min=1e-30))
        values.addcmul_(quotient, sums, value=-1)
        return first.mul_(first_left), second.mul_(second_left), values

    def _put(self, ids: Tensor, first: Tensor, second: Tensor, values: Tensor) -> None:
        self._first[ids], self._second[ids], self.values[ids] = first, second, values
        self.missed.touch(ids.numpy())


def word_state(missed: MissedSteps, ids: Tensor, table: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
    """The rows `ids` of a table (values, first and second moment), and what is known of them."""
    values, first, second = (part[ids.to(part.device)] for part in table)
    return {
        "ids": ids,
        "values": values,
        "first": first,
        "second": second,
        "touched_at": torch.from_numpy(missed.touched_at)[ids],
        "missed": torch.from_numpy(missed.sums),
        "step": torch.tensor(missed.step),
    }


def load_word_state(
    state: dict[str, Tensor], missed: MissedSteps, table: tuple[Tensor, Tensor, Tensor]
) -> None:
    """Put back what `word_state` gave."""
    for part, name in zip(table, ("values", "first", "second"), strict=True):
        part[state["ids"].to(part.device)] = state[name].to(part.device)
    missed.touched_at[state["ids"].numpy()] = state["touched_at"].numpy()
    missed.sums[:] = state["missed"].numpy()
    missed.step = int(state["step"])


def _summed(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Each id once, with the sum of its gradients."""
    ids, places = torch.unique(torch.cat([part[0] for part in parts]), return_inverse=True)
    gradients = torch.cat([part[1] for part in parts])
    return ids, gradients.new_zeros(len(ids), gradients.shape[1]).index_add_(0, places, gradients)


def _clip_scale(gradients: list[Tensor], largest: float) -> float:
    """What to multiply the gradients by so that their common norm is at most `largest`."""
    # Dot products of blocks with themselves: torch's norms read a block less quickly.
    floats = (piece.float() for block in gradients for piece in _pieces(block))
    norm = sum(torch.dot(piece, piece).item() for piece in floats) ** 0.5
    return largest / (norm + 1e-6) if norm > largest else 1.0


def _pieces(block: Tensor) -> tuple[Tensor, ...]:
    """A block as views of at most `PIECE` values."""
    return block.view(-1).split(PIECE)


def _column(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))[:, None]
