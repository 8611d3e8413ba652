"""A transformer across the epochs of a night, in which each epoch attends to its neighbors.

Shape suffixes are those of ``model``, N for blocks of W epochs, H for heads, D for features of a
head, and C for the 3 * W keys of a block.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import Wav2SleepConfig


class _WindowLayer(nn.Module):
    """A layer of a transformer (pre-norm) whose attention reaches some epochs to each side."""

    def __init__(self, config: Wav2SleepConfig) -> None:
        super().__init__()
        n_features = config.feature_dim
        self.window = config.sequence_window
        self.n_heads = config.sequence_heads
        self.causal = config.sequence_causal
        self.norm1 = nn.LayerNorm(n_features)
        self.in_proj = nn.Linear(n_features, 3 * n_features)
        self.out_proj = nn.Linear(n_features, n_features)
        # Attention does not know distances; each head learns how much they count.
        self.distance_bias = nn.Parameter(torch.zeros(self.n_heads, 2 * self.window + 1))
        self.norm2 = nn.LayerNorm(n_features)
        self.linear1 = nn.Linear(n_features, config.sequence_dim_ff)
        self.linear2 = nn.Linear(config.sequence_dim_ff, n_features)
        self.dropout = nn.Dropout(config.sequence_dropout)

    def forward(self, x_BSF: Tensor) -> Tensor:
        """Map (B, S, F) to (B, S, F)."""
        x_BSF = x_BSF + self.dropout(self._attend(self.norm1(x_BSF)))
        y_BSF = self.linear2(self.dropout(functional.gelu(self.linear1(self.norm2(x_BSF)))))
        return x_BSF + self.dropout(y_BSF)

    def _attend(self, x_BSF: Tensor) -> Tensor:
        """Attend a block of epochs at a time to itself and to the blocks beside it.

        Memory and time grow with the number of epochs, not with its square.
        """
        n_recordings, n_epochs, n_features = x_BSF.shape
        width = min(self.window, n_epochs)  # no epoch is further away
        n_blocks = -(-n_epochs // width)
        more = n_blocks * width - n_epochs
        q_BSF, k_BSF, v_BSF = self.in_proj(x_BSF).chunk(3, dim=-1)
        q_BNHWD = self._split(functional.pad(q_BSF, (0, 0, 0, more)), width, width)
        around = (0, 0, width, width + more)
        k_BNHCD = self._split(functional.pad(k_BSF, around), 3 * width, width)
        v_BNHCD = self._split(functional.pad(v_BSF, around), 3 * width, width)
        bias_HWC = self._make_bias(width)
        parts = [
            self._attend_alike(q_BNHWD, k_BNHCD, v_BNHCD, bias_HWC, (first, stop), n_epochs)
            for first, stop in _list_runs(n_blocks, n_epochs // width)
        ]
        y_BNHWD = torch.cat(parts, dim=1)
        y_BSF = y_BNHWD.transpose(2, 3).reshape(n_recordings, n_blocks * width, n_features)
        return self.out_proj(y_BSF[:, :n_epochs])

    def _split(self, x_BSF: Tensor, size: int, step: int) -> Tensor:
        """Split epochs into blocks of a size, each a step further, and features into heads."""
        x_BNFC = x_BSF.unfold(1, size, step)
        x_BNHDC = x_BNFC.unflatten(2, (self.n_heads, -1))
        return x_BNHDC.transpose(3, 4)

    def _make_bias(self, width: int) -> Tensor:
        """Make what is added to the attention of a block, minus infinity out of reach."""
        device, window = self.distance_bias.device, self.window
        query_W, key_C = (torch.arange(n, device=device) for n in (width, 3 * width))
        distance_WC = key_C - width - query_W.unsqueeze(1)  # from query to key, in epochs
        near_WC = (distance_WC >= -window) & (distance_WC <= (0 if self.causal else window))
        bias_HWC = self.distance_bias[:, (distance_WC + window).clamp(0, 2 * window)]
        return torch.where(near_WC, bias_HWC, -torch.inf)

    def _attend_alike(
        self,
        q_BNHWD: Tensor,
        k_BNHCD: Tensor,
        v_BNHCD: Tensor,
        bias_HWC: Tensor,
        blocks: tuple[int, int],
        n_epochs: int,
    ) -> Tensor:
        """Attend the blocks of a run, which all have the same of their keys."""
        width, (first, stop) = q_BNHWD.shape[3], blocks
        at_C = torch.arange(3 * width, device=bias_HWC.device) + (first - 1) * width
        # Queries behind the end, which are cut off, still reach the last epoch: no row is empty.
        is_there_C = (at_C >= 0) & ((at_C < n_epochs) | (stop - first > 1))
        return functional.scaled_dot_product_attention(
            q_BNHWD[:, first:stop],
            k_BNHCD[:, first:stop],
            v_BNHCD[:, first:stop],
            attn_mask=torch.where(is_there_C, bias_HWC, -torch.inf),
        )


def _list_runs(n_blocks: int, n_whole: int) -> list[tuple[int, int]]:
    """List runs of blocks with the same keys: the first, those in the middle, and the last two."""
    # A block lacks keys if it is the first, or if the block behind it is not whole.
    middle = max(n_whole - 1, 1)
    runs = [(0, 1), (1, middle), *((i, i + 1) for i in range(middle, n_blocks))]
    return [(first, stop) for first, stop in runs if first < min(stop, n_blocks)]


class WindowMixer(nn.Module):
    """Layers of attention that give each epoch the context of its neighbors."""

    def __init__(self, config: Wav2SleepConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_WindowLayer(config) for _ in range(config.sequence_blocks))
        self.norm = nn.LayerNorm(config.feature_dim)

    def forward(self, x_BSF: Tensor) -> Tensor:
        """Map (B, S, F) to (B, S, F)."""
        for layer in self.layers:
            x_BSF = layer(x_BSF)
        return self.norm(x_BSF)
