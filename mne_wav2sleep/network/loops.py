"""Loops over the samples of a layer, which LLVM compiles when the first recording is staged.

LLVM comes with Numba, and Numba with YASA; no compiler is needed. Loops that Numba compiles from
Python would not keep the sums of a convolution in registers, and importing Numba takes longer than
it takes to compile these.

Addresses are those of float32 unless another type is given, arrays are time-major, and the number
of channels is a multiple of :data:`~mne_wav2sleep.network.instructions.LANES`. A panel is that many
channels of the outputs.
"""

from collections.abc import Callable, Sequence
from ctypes import CFUNCTYPE, c_int64
from functools import cache, partial
from itertools import product
from typing import NamedTuple

import numpy as np
from llvmlite import binding, ir

from .instructions import DOUBLES, INTEGER, LANES, Emitter

_CONVOLUTIONS = ((3, 1), (3, 2), (1, 2))
"""Taps and strides of the convolutions of an encoder."""

_N_ARGS = 7
"""Arguments of each function, of which some use fewer."""

_FUNCTION = ir.FunctionType(ir.VoidType(), [INTEGER] * _N_ARGS)
_Emit = Callable[[ir.IRBuilder, Sequence[ir.Value]], None]


class Place(NamedTuple):
    """Where an array begins. It does not keep the array, which has to exist until calls have run.

    Attributes
    ----------
    address : int
        The address.
    step : int
        Bytes by which it moves when calls are repeated.
    """

    address: int
    step: int = 0


class Call(NamedTuple):
    """A call of a compiled function.

    Attributes
    ----------
    function : str
        Its name.
    places : tuple of Place
        Where its arrays begin.
    sizes : tuple of int
        Their sizes.
    """

    function: str
    places: tuple[Place, ...]
    sizes: tuple[int, ...]


class Loops:
    """The compiled loops, which may run in several threads at once.

    Raises
    ------
    RuntimeError
        If LLVM cannot compile for this processor.
    """

    def __init__(self) -> None:
        cpu, features = _describe_cpu()
        # Sums of a block of outputs have to fit into the registers: 32 of a vector each, or 16 of
        # half a vector.
        has_large_registers = "+avx512f" in features.split(",")
        self._block = (8, 2) if has_large_registers else (4, 1)
        n_rows, at_once = self._block
        functions: dict[str, _Emit] = {
            "run": _emit_run,
            "activate": partial(_emit_activation, with_skipped=False, pooled=False),
            "activate_sum": partial(_emit_activation, with_skipped=True, pooled=False),
            "activate_pooled_sum": partial(_emit_activation, with_skipped=True, pooled=True),
            "add_up": _emit_sums,
        }
        for taps, stride in _CONVOLUTIONS:
            for shape in ((n_rows, at_once), (n_rows * at_once, 1), (1, 1)):
                emit = partial(_emit_convolution, shape=shape, taps=taps, stride=stride)
                functions[f"convolve {taps} {stride} {shape}"] = emit
        self._engine = _compile(functions, cpu, features)
        self._addresses = {name: self._engine.get_function_address(name) for name in functions}
        self._run = CFUNCTYPE(None, *[c_int64] * _N_ARGS)(self._addresses["run"])

    def run(self, calls: Sequence[Call], n_times: int = 1) -> None:
        """Run calls one after the other, as often as wanted, without holding Python's lock."""
        program = np.zeros((len(calls), 1 + 2 * _N_ARGS), np.int64)
        for row, call in zip(program, calls, strict=True):
            row[0] = self._addresses[call.function]
            for i, place in enumerate(call.places, start=1):
                row[i], row[_N_ARGS + i] = place
            row[len(call.places) + 1 : len(call.places) + 1 + len(call.sizes)] = call.sizes
        address = program.ctypes.data
        self._run(address, len(calls), n_times, 0, 0, 0, 0)

    def convolve(
        self,
        places: tuple[Place, Place, Place],
        sizes: tuple[int, int, int],
        taps: int,
        stride: int,
    ) -> Call:
        """Plan a convolution.

        Parameters
        ----------
        places : tuple of Place
            The inputs, padded; the kernel, by panel, channel of inputs, tap, and channel of the
            panel; and the outputs.
        sizes : tuple of int
            Number of channels of the inputs, of panels, and of samples of the outputs.
        taps, stride : int
            3 and 1, 3 and 2, or 1 and 2.

        Returns
        -------
        call : Call
            The call.
        """
        n_rows, at_once = self._block
        _, n_panels, n_samples = sizes
        if n_samples < n_rows * at_once:
            shape = (1, 1)
        else:
            shape = (n_rows, at_once) if n_panels % at_once == 0 else (n_rows * at_once, 1)
        return Call(f"convolve {taps} {stride} {shape}", places, sizes)


def activate(
    places: tuple[Place, Place, Place],
    skipped: Place | None,
    out: Place,
    sizes: tuple[int, int],
    *,
    pooled: bool = False,
) -> Call:
    """Plan instance norm and GELU; with a residual connection, also its sum and another GELU.

    Parameters
    ----------
    places : tuple of Place
        Outputs of a convolution, and the mean and the factor of each channel.
    skipped : Place, or None
        The outputs of the residual connection.
    out : Place
        Where the result is written.
    sizes : tuple of int
        Number of samples of the result, and of panels.
    pooled : bool
        Whether the result is the sum with the larger one of two successive samples; it needs a
        residual connection.

    Returns
    -------
    call : Call
        The call.
    """
    if skipped is None:
        return Call("activate", (*places, out, out), sizes)
    name = "activate_pooled_sum" if pooled else "activate_sum"
    return Call(name, (*places, skipped, out), sizes)


def add_up(y: Place, sums: Place, squares: Place, sizes: tuple[int, int]) -> Call:
    """Plan sums of outputs and of their squares.

    Parameters
    ----------
    y : Place
        Outputs of a convolution.
    sums, squares : Place
        Arrays of float64 to which the sums are added.
    sizes : tuple of int
        Number of samples and of panels.

    Returns
    -------
    call : Call
        The call.
    """
    return Call("add_up", (y, sums, squares), sizes)


@cache
def load_loops() -> Loops:
    """Compile the loops, once in a process if it is called before there are several threads."""
    return Loops()


def _describe_cpu() -> tuple[str, str]:
    """Describe the processor as LLVM does: its name and its features."""
    try:
        return binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()
    except RuntimeError:  # LLVM does not know the features of this kind of processor
        return "", ""


def _compile(functions: dict[str, _Emit], cpu: str, features: str) -> binding.ExecutionEngine:
    """Compile functions of integers for a processor."""
    module = ir.Module()
    for name, emit in functions.items():
        function = ir.Function(module, _FUNCTION, name)
        builder = ir.IRBuilder(function.append_basic_block())
        emit(builder, function.args)
        builder.ret_void()
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple()
    machine = target.create_target_machine(cpu=cpu, features=features, opt=3)
    # Passes that optimize would take longer than all the rest, and gain nothing here.
    engine = binding.create_mcjit_compiler(binding.parse_assembly(str(module)), machine)
    engine.finalize_object()
    return engine


def _emit_run(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> None:
    """Emit calls of functions with arguments that move from one repetition to the next.

    The program has a row of int64 for each call: the address of the function, its arguments, and
    what is added to each argument in each repetition.
    """
    program, n_calls, n_times, *_ = args
    emitter = Emitter(builder)
    with emitter.count(n_times, 1) as time, emitter.count(n_calls, 1) as number:
        row = builder.mul(number, ir.Constant(INTEGER, 1 + 2 * _N_ARGS))
        function, *values = (
            emitter.load_integer(program, builder.add(row, ir.Constant(INTEGER, i)))
            for i in range(1 + 2 * _N_ARGS)
        )
        now = [
            builder.add(start, builder.mul(step, time))
            for start, step in zip(values[:_N_ARGS], values[_N_ARGS:], strict=True)
        ]
        builder.call(builder.inttoptr(function, _FUNCTION.as_pointer()), now)


def _emit_convolution(
    builder: ir.IRBuilder,
    args: Sequence[ir.Value],
    shape: tuple[int, int],
    taps: int,
    stride: int,
) -> None:
    """Emit a convolution, block by block of outputs, whose sums are kept in registers."""
    x, kernel, out, n_in, n_panels, n_samples, _ = args
    emitter = Emitter(builder)
    n_rows, at_once = shape
    n_out = builder.mul(n_panels, ir.Constant(INTEGER, LANES))
    with emitter.count(n_panels, at_once) as panel:
        weights = emitter.move(kernel, builder.mul(panel, n_in), taps * LANES)
        with emitter.count(n_samples, n_rows) as first:
            # The last block may overlap with the one before it.
            last = builder.sub(n_samples, ir.Constant(INTEGER, n_rows))
            t = builder.select(builder.icmp_signed("<", first, last), first, last)
            inputs = emitter.move(x, builder.mul(t, n_in), stride)
            to = emitter.move(emitter.move(out, panel, LANES), builder.mul(t, n_out))
            _emit_block(emitter, (inputs, n_in, weights), shape, taps, stride, (to, n_out))


def _emit_block(
    emitter: Emitter,
    source: tuple[ir.Value, ir.Value, ir.Value],
    shape: tuple[int, int],
    taps: int,
    stride: int,
    target: tuple[ir.Value, ir.Value],
) -> None:
    """Emit the convolution of a block."""
    x, n_in, kernel = source
    n_rows, at_once = shape
    cells = list(product(range(n_rows), range(at_once)))

    def add(channel: ir.Value, sums: Sequence[ir.Value]) -> list[ir.Value]:
        """Add the products of a channel of the inputs."""
        first = emitter.move(kernel, channel, taps * LANES)
        starts = [emitter.move(first, n_in, p * taps * LANES) for p in range(at_once)]
        weights = [
            [emitter.load(emitter.move(start, k * LANES)) for start in starts] for k in range(taps)
        ]
        added = dict(zip(cells, sums, strict=True))
        # Each value of the inputs is loaded once for all outputs that it is part of.
        for t in range((n_rows - 1) * stride + taps):
            value = emitter.repeat(emitter.move(emitter.move(x, channel), n_in, t))
            for row, p in cells:
                k = t - row * stride
                if 0 <= k < taps:
                    added[row, p] = emitter.multiply_add(value, weights[k][p], added[row, p])
        return list(added.values())

    out, n_out = target
    sums = emitter.accumulate(n_in, [emitter.make_vector(0.0)] * len(cells), add)
    for (row, p), one in zip(cells, sums, strict=True):
        emitter.store(one, emitter.move(emitter.move(out, n_out, row), p * LANES))


def _emit_activation(
    builder: ir.IRBuilder, args: Sequence[ir.Value], *, with_skipped: bool, pooled: bool
) -> None:
    """Emit instance norm and GELU, max-pooling, and a residual connection."""
    y, mean, scale, skipped, out, n_samples, n_panels = args
    emitter = Emitter(builder)
    with emitter.count(n_samples, 1) as t, emitter.count(n_panels, 1) as panel:
        row = builder.mul(t, n_panels)
        place = builder.add(row, panel)
        other, to = (emitter.move(one, place, LANES) for one in (skipped, out))
        means, scales = (emitter.load(emitter.move(one, panel, LANES)) for one in (mean, scale))
        # Of two rows that are pooled, the first is as far on again.
        output = emitter.move(y, builder.add(place, row) if pooled else place, LANES)
        outputs = [output, emitter.move(output, n_panels, LANES)] if pooled else [output]
        differences = [builder.fsub(emitter.load(one), means) for one in outputs]
        # Both, since GELU falls before it rises.
        activated = [emitter.apply_gelu(builder.fmul(one, scales)) for one in differences]
        found = emitter.choose_larger(*activated) if pooled else activated[0]
        if with_skipped:
            found = emitter.apply_gelu(builder.fadd(found, emitter.load(other)))
        emitter.store(found, to)


def _emit_sums(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> None:
    """Emit sums of outputs and of their squares.

    They are in float64: squares in float32 would not tell small deviations from a large mean, and
    where all samples are equal, as in padding, the same error would be made again and again.
    """
    y, sums, squares, n_samples, n_panels, *_ = args
    emitter = Emitter(builder)
    n_channels = builder.mul(n_panels, ir.Constant(INTEGER, LANES))
    with emitter.count(n_panels, 1) as panel:
        first = emitter.move(y, panel, LANES)

        def add(number: ir.Value, now: Sequence[ir.Value]) -> list[ir.Value]:
            """Add a sample."""
            output = emitter.load(emitter.move(first, builder.mul(number, n_channels)))
            value = builder.fpext(output, DOUBLES)
            return [builder.fadd(now[0], value), emitter.multiply_add(value, value, now[1])]

        # Values of float64 are twice as long.
        places = [emitter.move(one, panel, 2 * LANES) for one in (sums, squares)]
        before = [emitter.load(place, DOUBLES) for place in places]
        after = emitter.accumulate(n_samples, before, add)
        for place, one in zip(places, after, strict=True):
            emitter.store(one, place)
