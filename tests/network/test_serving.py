"""An engine that several processes share."""

import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client

import numpy as np
import pytest
import torch

from mne_wav2sleep import load_weights
from mne_wav2sleep.network import Engine
from mne_wav2sleep.network.serving import EngineServer, RemoteEngine

N = 20


@pytest.fixture(scope="module")
def engine(small_folder):
    return Engine(load_weights(small_folder).network, "cpu")


def make_input(seed):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal((1, N * 256), np.float32) for name in ("ABD", "THX")}


def stage(one, seed):
    """Encode one signal after another, as a recording is read, and mix them."""
    z = {}
    for name, signal in make_input(seed).items():
        z |= one.encode({name: signal})
    masks = {"THX": np.arange(N)[None] % (seed + 2) > 0}
    return one.mix(z, masks, [("THX",), ("ABD", "THX")])


def test_what_is_served_is_what_the_engine_gives(engine):
    with EngineServer(engine) as server:
        remote = RemoteEngine(server.address)
        assert (remote.device, remote.precision) == (engine.device, "float32")
        found, expected = stage(remote, 0), stage(engine, 0)
    for subset, logits in expected.items():
        torch.testing.assert_close(found[subset], logits, rtol=0, atol=0)


def test_what_waits_is_computed_together_and_goes_to_whom_it_belongs(engine):
    release = threading.Event()

    class Slow(Engine):
        def encode(self, x):
            release.wait(30)
            return engine.encode(x)

    slow = Slow.__new__(Slow)
    vars(slow).update(vars(engine))
    with EngineServer(slow) as server, ThreadPoolExecutor(6) as pool:

        def run(seed):
            return stage(RemoteEngine(server.address), seed)

        jobs = [pool.submit(run, seed) for seed in range(6)]
        while server._waiting.qsize() < 5:
            pass
        release.set()
        found = [job.result(30) for job in jobs]
    assert max(server.batches) > 1
    assert sum(server.batches) == 6 * 3
    for seed, logits in enumerate(found):
        for subset, expected in stage(engine, seed).items():
            torch.testing.assert_close(logits[subset], expected, rtol=0, atol=2e-5)


def test_an_error_is_raised_where_it_was_asked_for(engine):
    with EngineServer(engine) as server:
        remote = RemoteEngine(server.address)
        with pytest.raises(Exception, match=r"\S") as caught:
            remote.encode({"THX": np.zeros((1, 7), np.float32)})
        with pytest.raises(type(caught.value)):
            engine.encode({"THX": np.zeros((1, 7), np.float32)})
        assert stage(remote, 1)[("THX",)].shape == (1, N, 4)  # the server goes on


def test_others_are_not_served(engine):
    with EngineServer(engine) as server:
        with pytest.raises(AuthenticationError):
            Client(server.address.place, authkey=b"guess")
        assert stage(RemoteEngine(server.address), 1)[("THX",)].shape == (1, N, 4)


def test_an_error_that_cannot_be_sent_does_not_end_the_server(engine):
    class LocalError(Exception):
        pass

    class Failing(Engine):
        def encode(self, x):
            raise LocalError("of a class that is known here only")

    failing = Failing.__new__(Failing)
    vars(failing).update(vars(engine))
    with EngineServer(failing) as server:
        remote = RemoteEngine(server.address)
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"The engine failed .LocalError: of a class"):
                remote.encode(make_input(0))


def test_what_waits_when_the_server_ends_raises_an_error(engine):
    begun, release = threading.Event(), threading.Event()

    class Slow(Engine):
        def encode(self, x):
            begun.set()
            release.wait(30)
            return engine.encode(x)

    slow = Slow.__new__(Slow)
    vars(slow).update(vars(engine))
    with ThreadPoolExecutor(3) as pool:
        with EngineServer(slow) as server:

            def ask(seed):
                return RemoteEngine(server.address).encode(make_input(seed))

            jobs = [pool.submit(ask, 0)]
            assert begun.wait(30)
            jobs += [pool.submit(ask, seed) for seed in (1, 2)]
            while server._waiting.qsize() < 2:
                pass
        release.set()
        results = [job.exception(30) for job in jobs]
    assert sum(isinstance(one, EOFError | OSError) for one in results) == 2
