"""Run a network on a device: choice of device and backend, precision, and lack of memory."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import combinations
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..cautions import warn
from ..errors import WeightsError, summarize_error
from ..modalities import PRECISIONS
from ..progress import track
from ..verbosity import check_option, check_type
from .fast import FastWav2Sleep
from .forking import leave_lost_threads
from .loops import load_loops
from .model import Wav2Sleep

Subset = tuple[str, ...]

_T = TypeVar("_T")


class Backend(Protocol):
    """An implementation of the network, with the methods of :class:`Wav2Sleep`."""

    def encode(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the encoders, as :meth:`Wav2Sleep.encode` does."""
        ...

    def mix(self, z: Mapping[str, Tensor], available: Mapping[str, Tensor] | None = None) -> Tensor:
        """Compute the stage logits, as :meth:`Wav2Sleep.mix` does."""
        ...


@contextmanager
def use_float32() -> Iterator[None]:
    """Make new parameters and tensors float32, whatever a user's default type is."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def choose_device(device: str | torch.device) -> torch.device:
    """Choose a device, and check that it can be used.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` (CUDA if available, else MPS, else the CPU), ``"cpu"``, ``"cuda"``,
        ``"cuda:1"``, ``"mps"``, or another PyTorch device.

    Returns
    -------
    device : torch.device
        The device.

    Raises
    ------
    TypeError, ValueError
        If the device does not exist, or cannot hold values.
    """
    check_type(device, (str, torch.device), "device")
    leave_lost_threads()
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).cpu()  # the device "meta" has no values
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise ValueError(
            f"device={str(device)!r} cannot be used here ({summarize_error(error)}). Use 'auto', "
            "'cpu', or another device that torch supports."
        ) from error
    return chosen


def choose_backend(network: Wav2Sleep, device: torch.device) -> Backend:
    """Choose the fastest implementation of a network on a device, without gradients."""
    return FastWav2Sleep(network) if device.type == "cpu" else network


def list_subsets(modalities: Sequence[str]) -> list[Subset]:
    """List all non-empty subsets of the modalities, from the smallest to the largest.

    Parameters
    ----------
    modalities : sequence of str
        The modalities.

    Returns
    -------
    subsets : list of tuple of str
        The subsets, each in alphabetical order.

    Examples
    --------
    >>> list_subsets(["ECG", "THX"])
    [('ECG',), ('THX',), ('ECG', 'THX')]
    """
    names = sorted(modalities)
    return [s for size in range(1, len(names) + 1) for s in combinations(names, size)]


class Engine:
    """Run a network on a device.

    Parameters
    ----------
    network : Wav2Sleep
        The network. The engine runs a copy of it, in evaluation mode: changing, moving or training
        the network afterwards has no effect on the engine.
    device : str or torch.device
        ``"auto"`` (CUDA if available, else MPS, else the CPU), ``"cpu"``, ``"cuda"``,
        ``"cuda:1"``, ``"mps"``, or another PyTorch device.
    precision : str
        ``"float32"``, or ``"bfloat16"`` or ``"float16"`` for autocast to that type.

    Attributes
    ----------
    device : torch.device
        The device. If its memory is too small for a recording, the engine warns, and changes to
        the CPU for that recording and all later ones.
    precision : str
        The precision.

    Raises
    ------
    TypeError, ValueError
        If the device or the precision cannot be used.
    WeightsError
        If the network is not in float32, or has no values.

    Notes
    -----
    On a CPU, encoders run in tiles, which takes less time; their features agree with those of
    :class:`Wav2Sleep` to about 3e-5. Their convolutions are in float32, whatever the precision,
    as those of PyTorch in lower precision take longer.

    Autocast, default devices and modes of gradients that are in effect where an engine is used do
    not apply to it.

    Examples
    --------
    >>> from mne_wav2sleep import load_weights
    >>> engine = Engine(load_weights("mini", verbose="error").network, "cpu")
    >>> rng = np.random.default_rng(0)
    >>> x = {name: rng.standard_normal((1, 10 * 256), np.float32) for name in ("ABD", "THX")}
    >>> logits = engine.mix(engine.encode(x), {}, [("THX",), ("ABD", "THX")])
    >>> {subset: tuple(one.shape) for subset, one in logits.items()}
    {('THX',): (1, 10, 4), ('ABD', 'THX'): (1, 10, 4)}
    """

    def __init__(
        self,
        network: Wav2Sleep,
        device: str | torch.device = "auto",
        precision: str = "float32",
    ) -> None:
        check_option("precision", precision, list(PRECISIONS))
        self.device = choose_device(device)
        self.precision = precision
        _check_tensors(network)
        network.signal_encoders.check_definitions()
        # Others may train or move the network, or stage with it in another thread.
        self._network = copy.deepcopy(network).eval()

    @property
    def n_spare_threads(self) -> int:
        """Number of threads for other work while the engine computes.

        PyTorch's number of threads says how many may be busy. On the CPU, half as many gain as much
        as more would, which compete with those of the engine, and take more memory; a GPU needs
        none of them.
        """
        n_threads = torch.get_num_threads()
        return n_threads // 2 if self.device.type == "cpu" else n_threads

    def warm_up(self) -> None:
        """Load what the first recording in a process would have to wait for."""
        if self.device.type == "cpu":
            load_loops()

    def encode(self, x: Mapping[str, NDArray[np.float32] | Tensor]) -> dict[str, Tensor]:
        """Run the encoders.

        Parameters
        ----------
        x : mapping of str to array of float32, shape (B, S * samples_per_epoch)
            Modality -> z-scored signals of B recordings of S epochs, on the network's grid.

        Returns
        -------
        z : dict of str to Tensor, shape (B, S, feature_dim)
            Modality -> features, on the CPU.
        """
        self._network.signal_encoders.check_definitions()

        def encode(backend: Backend) -> dict[str, Tensor]:
            return backend.encode(self._send(x))

        return {name: z_BSF.cpu() for name, z_BSF in self._run(encode).items()}

    def mix(
        self,
        z: Mapping[str, Tensor],
        available: Mapping[str, NDArray[np.bool_] | Tensor],
        subsets: Sequence[Subset],
    ) -> dict[Subset, Tensor]:
        """Compute the stage logits from subsets of the modalities.

        Parameters
        ----------
        z : mapping of str to Tensor, shape (B, S, feature_dim)
            Modality -> features, from :meth:`encode`.
        available : mapping of str to array of bool, shape (B, S)
            Modality -> the epochs in which it was measured. Modalities that are not listed were
            measured throughout.
        subsets : sequence of tuple of str
            Subsets of the modalities in ``z``.

        Returns
        -------
        logits : dict of tuple of str to Tensor, shape (B, S, n_classes)
            Subset -> its logits, on the CPU.
        """

        def mix(backend: Backend) -> dict[Subset, Tensor]:
            there, masks = self._send(z), self._send(available)
            return {
                subset: backend.mix(
                    {name: there[name] for name in subset},
                    {name: mask for name, mask in masks.items() if name in subset},
                ).cpu()
                for subset in track(subsets, "Comparing", "subset")
            }

        return self._run(mix)

    def _send(self, arrays: Mapping[str, NDArray | Tensor]) -> dict[str, Tensor]:
        """Send arrays to the device."""
        return {name: torch.as_tensor(one, device=self.device) for name, one in arrays.items()}

    def _choose_autocast(self) -> AbstractContextManager:
        """Choose autocast of the engine's own precision, or none, whatever the user's is."""
        kind = self.device.type
        if self.precision != "float32":
            return torch.autocast(kind, getattr(torch, self.precision))
        # Some devices have no autocast, and refuse even to disable it.
        is_on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        return torch.autocast(kind, enabled=False) if is_on else nullcontext()

    def _run(self, compute: Callable[[Backend], _T]) -> _T:
        """Compute on the device, or on the CPU if the device runs out of memory."""
        leave_lost_threads()
        try:
            self._network.to(self.device)
            with torch.inference_mode(), self._choose_autocast():
                return compute(choose_backend(self._network, self.device))
        except RuntimeError as error:
            # Only CUDA has its own type of error; that of MPS says "MPS backend out of memory".
            if self.device.type == "cpu" or "out of memory" not in str(error).lower():
                raise
        warn(
            f"The device {str(self.device)!r} has too little free memory for this recording, so "
            "this and all later recordings are staged on the CPU. Close other programs that use "
            "the device, or set device='cpu'."
        )
        self.device = torch.device("cpu")
        torch.cuda.empty_cache()
        return self._run(compute)


def _check_tensors(network: Wav2Sleep) -> None:
    """Refuse a network whose tensors were converted, or moved where they have no values."""
    for tensor in network.state_dict().values():
        if tensor.dtype != torch.float32 or tensor.device.type == "meta":
            raise WeightsError(
                "The network of the weights was changed after it was loaded: its tensors should be "
                f"float32 and have values, but are {str(tensor.dtype).removeprefix('torch.')} on "
                f"the device {str(tensor.device)!r}. Load the weights again."
            )
