"""What every kind of network has alike of a training: its optimizer, and the state to go on from."""

from torch import Tensor

from core.learning.models.optimizer import Optimizer


class Trainable:
    """Trains a network's weights, once `prepare_training` has made its optimizer."""

    _optimizer: Optimizer | None = None

    def clip_gradients(self, largest: float) -> None:
        """Scale all gradients so that their common norm is at most `largest`; 0 leaves them as they are."""
        self._of_training().clip(largest)

    def update_weights(self, learning_rate: float) -> None:
        """Change the weights by their gradients."""
        self._of_training().step(learning_rate)

    def training_state(self) -> dict[str, Tensor]:
        """Weights, moments and random states: what the next training step depends on."""
        tensors = {f"network.{name}": value for name, value in self._state().items()}
        return tensors | {f"optimizer.{name}": v for name, v in self._of_training().state().items()}

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        """Go on from what `training_state` gave, in a network freshly loaded from the same folder."""
        self._of_training().load_state(_part(state, "optimizer."))
        self._load_state(_part(state, "network."))

    def _of_training(self) -> Optimizer:
        if self._optimizer is None:
            raise RuntimeError("the network is not prepared for training")
        return self._optimizer

    def _state(self) -> dict[str, Tensor]:
        raise NotImplementedError

    def _load_state(self, state: dict[str, Tensor]) -> None:
        raise NotImplementedError


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
