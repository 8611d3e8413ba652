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
        width = self.window
        n_blocks = -(-n_epochs // width)
        more = n_blocks * width - n_epochs
        q_BSF, k_BSF, v_BSF = self.in_proj(x_BSF).chunk(3, dim=-1)
        q_BNHWD = self._split(functional.pad(q_BSF, (0, 0, 0, more)), width)
        around = (0, 0, width, width + more)
        k_BNHCD = self._split(functional.pad(k_BSF, around), 3 * width)
        v_BNHCD = self._split(functional.pad(v_BSF, around), 3 * width)
        y_BNHWD = functional.scaled_dot_product_attention(
            q_BNHWD, k_BNHCD, v_BNHCD, attn_mask=self._make_bias(n_epochs, n_blocks)
        )
        y_BSF = y_BNHWD.transpose(2, 3).reshape(n_recordings, n_blocks * width, n_features)
        return self.out_proj(y_BSF[:, :n_epochs])

    def _split(self, x_BSF: Tensor, size: int) -> Tensor:
        """Split epochs into blocks of a size, each a window further, and features into heads."""
        x_BNFC = x_BSF.unfold(1, size, self.window)
        x_BNHDC = x_BNFC.unflatten(2, (self.n_heads, -1))
        return x_BNHDC.transpose(3, 4)

    def _make_bias(self, n_epochs: int, n_blocks: int) -> Tensor:
        """Make what is added to the attention, shape (N, H, W, C): minus infinity out of reach."""
        device, width = self.distance_bias.device, self.window
        query_W, key_C = (torch.arange(n, device=device) for n in (width, 3 * width))
        distance_WC = key_C - width - query_W.unsqueeze(1)  # from query to key, in epochs
        near_WC = (distance_WC >= -width) & (distance_WC <= (0 if self.causal else width))
        bias_HWC = self.distance_bias[:, (distance_WC + width).clamp(0, 2 * width)]
        first_N = width * torch.arange(n_blocks, device=device)
        at_NC = first_N.unsqueeze(1) + key_C - width
        inside_NC = (at_NC >= 0) & (at_NC < n_epochs)
        # Queries behind the end, which are cut off, still reach the last epoch: no row is empty.
        allowed_N1WC = (near_WC & inside_NC.unsqueeze(1)).unsqueeze(1)
        return torch.where(allowed_N1WC, bias_HWC, -torch.inf)


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
