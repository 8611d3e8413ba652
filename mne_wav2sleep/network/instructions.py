"""Instructions of LLVM for loops over vectors of float32."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from llvmlite import ir

LANES = 16
"""Values of a vector. LLVM divides it where registers are smaller."""

INTEGER = ir.IntType(64)
_VALUE = ir.FloatType()
VECTOR = ir.VectorType(_VALUE, LANES)
DOUBLES = ir.VectorType(ir.DoubleType(), LANES)

# The standard normal distribution function is 1/2 + x Q(2 x² / END² - 1) for |x| < END, and 0 or 1
# beyond it, within 1e-7; benchmarks/fit_gelu.py finds the coefficients of Q.
_END = 5.2
_Q = (
    0.135949993,
    -0.0677436675,
    0.0500245214,
    -0.0399298198,
    0.031989959,
    -0.0247236279,
    0.0179547885,
    -0.0125051271,
    0.00855996436,
    -0.00478902815,
    0.00180012601,
    -0.00122150294,
    0.00126850981,
    -0.000481274102,
)


class Emitter:
    """Emits instructions on vectors, on addresses of float32, and loops.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
        What emits single instructions.
    """

    def __init__(self, builder: ir.IRBuilder) -> None:
        self._builder = builder

    def make_vector(self, value: float) -> ir.Constant:
        """Make a vector that holds a value in all lanes."""
        return ir.Constant(VECTOR, [value] * LANES)

    def move(self, address: ir.Value, n_values: ir.Value | int, times: int = 1) -> ir.Value:
        """Move an address by ``n_values * times`` values."""
        if isinstance(n_values, int):
            n_values = ir.Constant(INTEGER, n_values)
        n_bytes = self._builder.mul(n_values, ir.Constant(INTEGER, 4 * times))
        return self._builder.add(address, n_bytes)

    def load(self, address: ir.Value, kind: ir.VectorType = VECTOR) -> ir.Value:
        """Load a vector."""
        pointer = self._builder.inttoptr(address, kind.as_pointer())
        return self._builder.load(pointer, align=4)

    def load_integer(self, address: ir.Value, index: ir.Value) -> ir.Value:
        """Load a number from an array of integers."""
        place = self._builder.add(address, self._builder.mul(index, ir.Constant(INTEGER, 8)))
        return self._builder.load(self._builder.inttoptr(place, INTEGER.as_pointer()), align=8)

    def repeat(self, address: ir.Value) -> ir.Value:
        """Load a value into all lanes."""
        pointer = self._builder.inttoptr(address, _VALUE.as_pointer())
        undefined = ir.Constant(VECTOR, ir.Undefined)
        index = ir.Constant(ir.IntType(32), 0)
        one = self._builder.insert_element(undefined, self._builder.load(pointer, align=4), index)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return self._builder.shuffle_vector(one, undefined, mask)

    def store(self, vector: ir.Value, address: ir.Value) -> None:
        """Store a vector."""
        pointer = self._builder.inttoptr(address, vector.type.as_pointer())
        self._builder.store(vector, pointer, align=4)

    def multiply_add(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """Compute ``a * b + c``, in one instruction if there is one."""
        product = self._builder.fmul(a, b, flags=("contract",))
        return self._builder.fadd(product, c, flags=("contract",))

    def clip(self, x: ir.Value, end: float) -> ir.Value:
        """Limit values to ``-end`` and ``end``; NaN stays NaN."""
        for comparison, limit in ((">", end), ("<", -end)):
            is_beyond = self._builder.fcmp_ordered(comparison, x, self.make_vector(limit))
            x = self._builder.select(is_beyond, self.make_vector(limit), x)
        return x

    def choose_larger(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Choose the larger values; NaN if one of both is NaN."""
        is_first = self._builder.fcmp_ordered(">", a, b)
        larger = self._builder.select(is_first, a, b)
        return self._builder.select(self._builder.fcmp_unordered("!=", a, a), a, larger)

    def apply_gelu(self, x: ir.Value) -> ir.Value:
        """Compute GELU."""
        clipped = self.clip(x, _END)
        square = self._builder.fmul(clipped, clipped)
        t = self.multiply_add(square, self.make_vector(2 / _END**2), self.make_vector(-1.0))
        t_squared = self._builder.fmul(t, t)
        # Even and odd powers apart, since half of the steps wait for each other then.
        even, odd = (self._evaluate(t_squared, _Q[first::2]) for first in (0, 1))
        q = self.multiply_add(odd, t, even)
        distribution = self.multiply_add(clipped, q, self.make_vector(0.5))
        # Exactly 0 there, as its error would be multiplied by x.
        is_below = self._builder.fcmp_ordered("<", x, self.make_vector(-_END))
        distribution = self._builder.select(is_below, self.make_vector(0.0), distribution)
        return self._builder.fmul(x, distribution)

    def _evaluate(self, x: ir.Value, coefficients: tuple[float, ...]) -> ir.Value:
        """Evaluate a polynomial, given from its constant on."""
        *others, last = coefficients
        found: ir.Value = self.make_vector(last)
        for one in reversed(others):
            found = self.multiply_add(found, x, self.make_vector(one))
        return found

    @contextmanager
    def count(self, stop: ir.Value, step: int) -> Iterator[ir.Value]:
        """Repeat the instructions that are emitted within for 0, ``step``, ... before ``stop``."""
        builder, before = self._builder, self._builder.block
        head, body, after = (builder.append_basic_block(name) for name in ("head", "body", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        number = builder.phi(INTEGER)
        number.add_incoming(ir.Constant(INTEGER, 0), before)
        builder.cbranch(builder.icmp_signed("<", number, stop), body, after)
        builder.position_at_end(body)
        yield number
        following = builder.add(number, ir.Constant(INTEGER, step))
        number.add_incoming(following, builder.block)
        builder.branch(head)
        builder.position_at_end(after)

    def accumulate(
        self,
        n_steps: ir.Value,
        vectors: Sequence[ir.Value],
        step: Callable[[ir.Value, Sequence[ir.Value]], Sequence[ir.Value]],
    ) -> Sequence[ir.Value]:
        """Compute vectors from a step's number and those of the step before it.

        Parameters
        ----------
        n_steps : integer
            Number of steps, at least 1.
        vectors : sequence of vector
            The vectors before the first step.
        step : callable
            What emits a step, from its number and the vectors.

        Returns
        -------
        vectors : sequence of vector
            The vectors after the last step.
        """
        builder = self._builder
        before, body = builder.block, builder.append_basic_block("loop")
        after = builder.append_basic_block("after")
        builder.branch(body)
        builder.position_at_end(body)
        number = builder.phi(INTEGER)
        now = [builder.phi(vector.type) for vector in vectors]
        following = step(number, now)
        next_number = builder.add(number, ir.Constant(INTEGER, 1))
        first = ir.Constant(INTEGER, 0)
        phis, starts, ends = [number, *now], [first, *vectors], [next_number, *following]
        for phi, start, end in zip(phis, starts, ends, strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(end, builder.block)
        builder.cbranch(builder.icmp_signed("<", next_number, n_steps), body, after)
        builder.position_at_end(after)
        return following
