"""System information for bug reports."""

import platform
import sys
from importlib import metadata
from typing import TextIO

import torch

_PACKAGES = (
    *("mne-wav2sleep", "mne", "yasa", "torch", "numpy", "scipy", "pandas", "scikit-learn"),
    *("matplotlib", "edfio", "joblib", "pooch", "pydantic", "safetensors", "tqdm", "typer"),
)
_OPTIONAL = ("pytorch-lightning",)


def sys_info(fid: TextIO | None = None) -> None:
    """Print system information for bug reports.

    Platform, Python, devices and number of threads of torch, and the versions of the packages that
    mne-wav2sleep uses.

    Parameters
    ----------
    fid : file-like or None
        File to write to; None for stdout.

    See Also
    --------
    mne.sys_info : The same for MNE and its dependencies.

    Examples
    --------
    >>> import io
    >>> text = io.StringIO()
    >>> sys_info(text)
    >>> text.getvalue().split()[0]
    'Platform'
    """
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    rows = {
        "Platform": platform.platform(),
        "Python": sys.version.replace("\n", " "),
        "Devices": ", ".join(devices),
        "Threads": str(torch.get_num_threads()),
    }
    for name in (*_PACKAGES, *_OPTIONAL):
        try:
            rows[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            rows[name] = "not installed"
    out = sys.stdout if fid is None else fid
    out.writelines(f"{name:<20} {value}\n" for name, value in rows.items())
