"""Features of a signal relative to those of the rest of the recording."""

from collections.abc import Mapping

from torch import Tensor


def subtract_means(z: Mapping[str, Tensor], available: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Subtract the mean of the features of each signal over the epochs that have it.

    Parameters
    ----------
    z : mapping of str to Tensor, shape (B, S, feature_dim)
        Modality -> feature vectors.
    available : mapping of str to Tensor of bool, shape (B, S)
        Modality -> which epochs have it; those that are not listed are available throughout.

    Returns
    -------
    relative : dict of str to Tensor, shape (B, S, feature_dim)
        Modality -> relative feature vectors. Those of a recording without the signal stay as they
        are.

    Examples
    --------
    >>> import torch
    >>> z = {"ECG": torch.tensor([[[1.0], [3.0], [50.0]]])}
    >>> subtract_means(z, {"ECG": torch.tensor([[True, True, False]])})["ECG"].flatten().tolist()
    [-1.0, 1.0, 48.0]
    """
    relative = {}
    for name, z_BSF in z.items():
        if name not in available:
            mean_B1F = z_BSF.mean(1, keepdim=True)
        else:
            weight_BS1 = available[name].unsqueeze(-1).to(z_BSF.dtype)
            total_B1F = (z_BSF * weight_BS1).sum(1, keepdim=True)
            mean_B1F = total_B1F / weight_BS1.sum(1, keepdim=True).clamp(min=1)
        relative[name] = z_BSF - mean_B1F
    return relative
