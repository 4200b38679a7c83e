"""AdamW of a packed encoder and its head: one update for each block, and one for the words that occur."""

import torch
from torch import Tensor

from core.learning.models.gpu_bert.encoder import PackedBertEncoder
from core.learning.models.gpu_bert.head import Head
from core.learning.models.gpu_bert.operations import SUMS, Moments, Operations, Update
from core.learning.models.gpu_bert.packing import PackedBatch
from core.learning.models.optimizer import MissedSteps, load_word_state, word_state


class PackedAdamW:
    """What is on the GPU runs without the processor; what depends on the step's number comes with the batch.

    Weight decay pulls matrices alone, as `optimizer` says.

    Args:
        total_steps: the most that will be asked for.
    """

    def __init__(self, encoder: PackedBertEncoder, head: Head, weight_decay: float, total_steps: int) -> None:
        self._operations: Operations = encoder.operations
        self._matrices = _moments(encoder.matrices.values, encoder.matrices.working)
        self._vectors = _moments(encoder.vectors.values, encoder.vectors.working)
        self._head = _moments(head.block.values, head.block.working)
        self._decayed = (len(self._matrices.values), 0, head.decayed)
        self._weight_decay = weight_decay
        self.words = _moments(encoder.words, encoder.words)
        self.missed = MissedSteps(len(encoder.words), total_steps)
        self._square_sums = torch.zeros(4, SUMS, device=encoder.words.device)
        self._clip_scale = torch.ones(1, device=encoder.words.device)

    def step(
        self, batch: PackedBatch, gradients: tuple[Tensor, Tensor, Tensor], rows: Tensor, largest: float
    ) -> None:
        """Update all weights.

        Args:
            batch: `rates` are this step's; its words are those whose rows have gradients.
            gradients: of the matrices, the vectors and the head.
            rows: float32 [words, width].
            largest: norm to which all gradients together are scaled down; 0 leaves them as they are.
        """
        blocks = (self._matrices, self._vectors, self._head)
        if largest:
            for gradient, sums in zip(gradients, self._square_sums, strict=False):
                self._operations.square_sums(gradient, None, sums)
            self._operations.square_sums(rows, batch.counts, self._square_sums[3])
            self._operations.clip_scale(self._square_sums.view(-1), largest, self._clip_scale)
        update = Update(batch.rates, self._clip_scale, self._weight_decay)
        for block, gradient, decayed in zip(blocks, gradients, self._decayed, strict=True):
            self._operations.update_block(block, gradient, update, decayed)
        self._operations.update_words(batch, self.words, rows, update)

    def state(self) -> dict[str, Tensor]:
        """Moments of all blocks, and the rows of the words that were touched: copies on the processor."""
        ids = torch.from_numpy(self.missed.touched_at.nonzero()[0])
        words = word_state(self.missed, ids, (self.words.values, self.words.first, self.words.second))
        blocks = {
            f"{name}.{part}": getattr(block, part)
            for name, block in self._blocks().items()
            for part in ("first", "second")
        }
        return {**blocks, **{f"words.{name}": value for name, value in words.items()}}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        for name, block in self._blocks().items():
            block.first.copy_(state[f"{name}.first"])
            block.second.copy_(state[f"{name}.second"])
        words = {name.removeprefix("words."): v for name, v in state.items() if name.startswith("words.")}
        load_word_state(words, self.missed, (self.words.values, self.words.first, self.words.second))

    def _blocks(self) -> dict[str, Moments]:
        return {"matrices": self._matrices, "vectors": self._vectors, "head": self._head}


def _moments(values: Tensor, working: Tensor) -> Moments:
    copy = None if working is values else working
    return Moments(values, torch.zeros_like(values), torch.zeros_like(values), copy)
