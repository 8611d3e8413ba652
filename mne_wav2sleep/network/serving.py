"""One engine for several processes, which read recordings while it computes on a GPU.

Each process has a :class:`RemoteEngine`, which sends signals to the :class:`EngineServer` of the
process that has the GPU. What is waiting there is computed together, whole nights as one batch.
"""

import queue
import secrets
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import summarize_error
from .backends import Engine, Subset

_MOST = 8
"""Recordings of a batch at most."""
_FREE = 2**31
"""Bytes of free memory of a GPU for each recording of a batch, several times as much as encoding a
signal of 10 h takes, as an engine that runs out of memory leaves the GPU for good."""
_BACKLOG = 64
"""Processes that may connect at once."""


@dataclass(frozen=True)
class Address:
    """Where an engine is served, and the key that only the processes of this run know.

    Attributes
    ----------
    place : str
        Name of a socket, or of a pipe on Windows.
    key : bytes
        Key by which both sides authenticate each other.
    device : str
        Device of the engine.
    precision : str
        Precision of the engine.
    """

    place: str
    key: bytes
    device: str
    precision: str


@dataclass(frozen=True)
class _Request:
    """What a process waits for: the method of the engine, its arguments, and where to answer."""

    method: str
    arguments: tuple[Any, ...]
    connection: Connection

    @property
    def kind(self) -> object:
        """Requests of one kind can be computed as one batch."""
        arrays, *rest = self.arguments
        shapes = sorted((name, array.shape[1:]) for name, array in arrays.items())
        if self.method == "encode":
            return self.method, tuple(shapes)
        masks, subsets = rest
        return self.method, tuple(shapes), tuple(sorted(masks)), tuple(subsets)


class EngineServer:
    """Serve an engine to other processes of this machine, as a context manager.

    Parameters
    ----------
    engine : Engine
        The engine, which one thread uses.

    Attributes
    ----------
    address : Address
        What a :class:`RemoteEngine` needs.
    batches : list of int
        Number of recordings of each batch so far.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: queue.Queue[_Request | None] = queue.Queue()
        key = secrets.token_bytes(32)
        self._listener = Listener(backlog=_BACKLOG, authkey=key)
        device, precision = str(engine.device), engine.precision
        self.address = Address(str(self._listener.address), key, device, precision)
        self.batches: list[int] = []
        self._is_open = True

    def __enter__(self) -> "EngineServer":
        """Begin to serve."""
        for work in (self._accept, self._compute):
            threading.Thread(target=work, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """End; what is waiting is not computed, and raises EOFError where it was asked for."""
        self._is_open = False
        self._waiting.put(None)
        with suppress(OSError):  # wakes the thread that accepts
            Client(self.address.place, authkey=self.address.key).close()
        self._listener.close()

    def _accept(self) -> None:
        """Accept processes, each with a thread that receives what it asks for."""
        while self._is_open:
            try:
                connection = self._listener.accept()
            # Closed, a process that was killed, or one without the key.
            except (OSError, EOFError, AuthenticationError):
                continue
            threading.Thread(target=self._receive, args=(connection,), daemon=True).start()

    def _receive(self, connection: Connection) -> None:
        """Receive requests of a process until it ends."""
        with connection, suppress(EOFError, OSError):
            while True:
                method, arguments = connection.recv()
                self._waiting.put(_Request(method, arguments, connection))
                if not self._is_open:
                    self._refuse()

    def _compute(self) -> None:
        """Compute what is waiting, as much of one kind together as there is."""
        kept: list[_Request] = []
        while self._is_open:
            while not self._waiting.empty() or not kept:
                more = self._waiting.get()
                if more is None:
                    break
                kept.append(more)
            if not self._is_open:
                break
            batch = self._take_batch(kept)
            kept = [one for one in kept if not any(one is other for other in batch)]
            self._answer(batch)
        for request in kept:
            self._waiting.put(request)
        self._refuse()

    def _refuse(self) -> None:
        """Answer what is waiting with an error, after the end."""
        with suppress(queue.Empty):
            while True:
                if (request := self._waiting.get_nowait()) is not None:
                    with suppress(OSError):
                        request.connection.send((EOFError("The engine has ended."), "cpu"))

    def _take_batch(self, waiting: Sequence[_Request]) -> list[_Request]:
        """Choose what is computed together with the first that waits."""
        first = waiting[0]
        try:
            alike = [one for one in waiting if one.kind == first.kind]
            return alike[: self._find_most()]
        except Exception:  # of arguments that are none, which the engine refuses
            return [first]

    def _find_most(self) -> int:
        """Find how many recordings the memory of the device is enough for."""
        if self._engine.device.type != "cuda":
            return _MOST if self._engine.device.type == "cpu" else 1
        free, _ = torch.cuda.mem_get_info(self._engine.device)
        return min(max(free // _FREE, 1), _MOST)

    def _answer(self, batch: Sequence[_Request]) -> None:
        """Compute requests of one kind, and send each its part."""
        try:
            answers = self._compute_batch(batch)
        except Exception as error:  # which is raised where the night is staged
            answers = [error] * len(batch)
        device = str(self._engine.device)
        for request, answer in zip(batch, answers, strict=True):
            try:
                request.connection.send((answer, device))
            except OSError:  # a process that was killed
                continue
            except Exception as error:  # an error that cannot be sent
                reason = f"The engine failed ({summarize_error(answer)}; {summarize_error(error)})"
                with suppress(OSError):
                    request.connection.send((RuntimeError(f"{reason}."), device))

    def _compute_batch(self, batch: Sequence[_Request]) -> list[Any]:
        """Compute requests of one kind together."""
        arrays = [request.arguments[0] for request in batch]
        sizes = [len(next(iter(one.values()))) for one in arrays]
        joint = _concatenate(arrays)
        if batch[0].method == "encode":
            found: Mapping[Any, Tensor] = self._engine.encode(joint)
        else:
            masks = _concatenate([request.arguments[1] for request in batch])
            found = self._engine.mix(_to_tensors(joint), masks, batch[0].arguments[2])
        self.batches.append(sum(sizes))
        ends = np.cumsum(sizes)[:-1]
        parts = {key: np.split(one.numpy(), ends) for key, one in found.items()}
        return [{key: part[i] for key, part in parts.items()} for i in range(len(batch))]


def _concatenate(parts: Sequence[Mapping[str, NDArray]]) -> dict[str, NDArray]:
    """Join recordings to a batch."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _to_tensors(arrays: Mapping[str, NDArray]) -> dict[str, Tensor]:
    """Turn arrays that were received into tensors."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _to_arrays(values: Mapping[str, NDArray | Tensor]) -> dict[str, NDArray]:
    """Turn arrays and tensors into arrays, to send them."""
    return {name: np.asarray(one) for name, one in values.items()}


class RemoteEngine(Engine):
    """An engine that computes in another process of this machine.

    Parameters
    ----------
    address : Address
        Where it is served.

    Attributes
    ----------
    device : torch.device
        Its device.
    precision : str
        Its precision.
    """

    def __init__(self, address: Address) -> None:
        self._connection = Client(address.place, authkey=address.key)
        self.device = torch.device(address.device)
        self.precision = address.precision

    @property
    def n_spare_threads(self) -> int:
        """Number of threads for other work while the engine computes."""
        return torch.get_num_threads()

    def warm_up(self) -> None:
        """Do nothing: the engine is in use."""

    def encode(self, x: Mapping[str, NDArray[np.float32] | Tensor]) -> dict[str, Tensor]:
        """Run the encoders, as :meth:`Engine.encode` does."""
        return _to_tensors(self._ask("encode", _to_arrays(x)))

    def mix(
        self,
        z: Mapping[str, Tensor],
        available: Mapping[str, NDArray[np.bool_] | Tensor],
        subsets: Sequence[Subset],
    ) -> dict[Subset, Tensor]:
        """Compute the stage logits, as :meth:`Engine.mix` does."""
        found = self._ask("mix", _to_arrays(z), _to_arrays(available), list(subsets))
        return {subset: torch.from_numpy(one) for subset, one in found.items()}

    def _ask(self, method: str, *arguments: Any) -> dict[Any, NDArray]:
        """Send a request, and wait for its answer."""
        self._connection.send((method, arguments))
        answer, device = self._connection.recv()
        self.device = torch.device(device)  # the CPU, after the GPU has run out of memory
        if isinstance(answer, Exception):
            raise answer
        found: dict[Any, NDArray] = answer
        return found
