"""The loss that Lightning minimizes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import toy_recordings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from mne_wav2sleep.cohorts.batches import collate
from mne_wav2sleep.network import Wav2Sleep
from mne_wav2sleep.training import Masking
from mne_wav2sleep.training.module import Wav2SleepModule, sum_losses
from mne_wav2sleep.training.sampling import Draw, NightDataset, make_loader
from mne_wav2sleep.training.schedule import Schedule

pytestmark = [toy_recordings, pytest.mark.slow]

SCHEDULE = Schedule(steps_per_pass=2, warmup_steps=2, decay_steps=50)
CROPPED = {"crop": 12, "padded_epochs": 0, "masking": Masking.off()}


def test_the_loss_of_a_batch_of_different_signals_is_that_of_its_nights(nights, tiny, quick):
    torch.manual_seed(0)
    model = Wav2Sleep(tiny).eval()
    dataset = NightDataset(nights, ["ABD", "ECG", "PPG", "THX"], 4, **CROPPED)
    items = [dataset[i] for i in (0, 3, 4)]
    batch = collate(items)
    assert batch["rows"]["ECG"].tolist() == [0]
    assert batch["available"]["ECG"].all(1).tolist() == [True, False, False]
    assert batch["x"]["ABD"].shape == (2, 12 * 256)
    module = Wav2SleepModule(model, quick, ("classifier",), SCHEDULE)
    total, count = module.compute_loss(batch)
    alone = [module.compute_loss(collate([item])) for item in items]
    torch.testing.assert_close(total, sum(t for t, _ in alone), rtol=1e-5, atol=1e-5)
    assert count == sum(c for _, c in alone) == 36


def test_unscored_epochs_do_not_count(nights, tiny, quick):
    module = Wav2SleepModule(Wav2Sleep(tiny).eval(), quick, ("classifier",), SCHEDULE)
    batch = collate([NightDataset(nights[:3], ["ECG"], 4, **CROPPED)[0]])
    before = module.compute_loss(batch)
    batch["stages"][0, 3:6] = -1
    total, count = module.compute_loss(batch)
    assert count == before[1] - 3
    assert total < before[0]


def test_the_learning_rate_rises_and_then_decays(tiny, quick):
    module = Wav2SleepModule(Wav2Sleep(tiny), quick, ("classifier",), SCHEDULE)
    factor = module.configure_optimizers()["lr_scheduler"]["scheduler"].lr_lambdas[0]
    assert [factor(step) for step in (0, 1, 2)] == [0.5, 1.0, 1.0]
    assert factor(52) == factor(2) / torch.e
    names = {name.split(".")[0] for name, p in module.model.named_parameters() if p.requires_grad}
    assert names == {"classifier"}


def test_the_loss_of_a_step_does_not_depend_on_which_nights_are_in_it(nights, tiny, quick):
    """Nights of 20 and 17 epochs, whole and without padding."""
    torch.manual_seed(0)
    module = Wav2SleepModule(Wav2Sleep(tiny).eval(), quick, ("classifier",), SCHEDULE)
    whole = {"crop": None, "padded_epochs": 0, "masking": Masking.off()}

    def compute(chosen):
        dataset = NightDataset(chosen, ["ABD", "ECG", "PPG", "THX"], 4, **whole)
        (step,) = make_loader(dataset, None, len(chosen), n_workers=0)
        return sum_losses(map(module.compute_loss, step))

    alone = list(zip(*[compute([night]) for night in nights], strict=True))
    for chosen in ([0, 3], [1, 2, 4], range(6)):
        total, count = compute([nights[i] for i in chosen])
        assert count == sum(alone[1][i] for i in chosen)
        expected = sum(alone[0][i] for i in chosen)
        torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-5)


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_batch_gives_what_one_by_one_gives(data, nights, tiny, quick):
    """Nights of unlike length, with other signals, gaps and scores, in batches of any size."""
    torch.manual_seed(0)
    module = Wav2SleepModule(Wav2Sleep(tiny).eval(), quick, ("classifier",), SCHEDULE)
    masking = Masking(drop=dict.fromkeys(("ABD", "ECG", "PPG", "THX"), 0.4))
    crops = st.sampled_from([None, 7, 18])
    items = []
    for i in data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=6)):
        dataset = NightDataset(
            nights,
            ["ABD", "ECG", "PPG", "THX"],
            4,
            crop=data.draw(crops),
            padded_epochs=0,
            masking=masking,
        )
        item = dataset[Draw(i, (data.draw(st.integers(0, 100)),))]
        rng = np.random.default_rng(data.draw(st.integers(0, 100)))
        for measured in item["measured"].values():
            measured &= rng.random(measured.size) < 0.7
        item["stages"][rng.random(item["stages"].size) < 0.2] = -1
        items.append(item | {"name": str(len(items))})

    def compute(items, micro_batch_size=None):
        (batches,) = make_loader(items, None, len(items), 0, micro_batch_size)
        found = {}
        with torch.no_grad():
            for batch in batches:
                found |= zip(batch["names"], module.compute_logits(batch), strict=True)
        return found, *sum_losses(map(module.compute_loss, batches))

    logits, total, count = compute(items, data.draw(st.sampled_from([None, 1, 2])))
    alone = [compute([item]) for item in items]
    for one, _, _ in alone:
        for name, expected in one.items():
            torch.testing.assert_close(logits[name], expected, rtol=1e-4, atol=1e-5)
    expected = torch.stack([one for _, one, _ in alone]).sum()
    torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-4)
    assert count == sum(int(one) for _, _, one in alone)


@pytest.mark.parametrize("micro_batch_size", [1, 2])
def test_recordings_that_are_not_computed_at_once_give_the_same_weights(
    micro_batch_size, nights, train_tiny, tiny, quick, tmp_path
):
    config = replace(tiny, mixer_dropout=0.0, sequence_dropout=0.0)
    # In float64, in which the order of sums hardly matters; nights of unlike length.
    whole = replace(quick, batch_size=4, precision="64-true", crop=None, averaging=0.0)
    parts = replace(whole, micro_batch_size=micro_batch_size)
    one, other = (
        load_file(
            train_tiny(nights, tmp_path / name, config=config, settings=chosen, device="cpu")
            / "model.safetensors"
        )
        for name, chosen in (("whole", whole), ("parts", parts))
    )
    for name in one:
        if name.endswith("in_proj_bias"):  # attention does not depend on the keys' bias
            one[name], other[name] = (np.delete(w[name], slice(8, 16)) for w in (one, other))
        np.testing.assert_allclose(other[name], one[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_encoders_that_are_computed_twice_give_the_same_weights(
    nights, train_tiny, quick, tmp_path
):
    settings = replace(quick, max_passes=2)
    one, other = (
        load_file(
            train_tiny(
                nights,
                tmp_path / str(twice),
                settings=replace(settings, gradient_checkpointing=twice),
                device="cpu",
            )
            / "model.safetensors"
        )
        for twice in (False, True)
    )
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_each_process_has_its_own_dropout(tiny, quick, monkeypatch):
    module = Wav2SleepModule(Wav2Sleep(tiny), quick, ("classifier",), SCHEDULE)
    drawn = []
    for rank in (0, 1):
        monkeypatch.setattr(Wav2SleepModule, "global_rank", rank)
        module.on_train_batch_start([], 0)
        drawn.append(torch.rand(3))
    torch.manual_seed(quick.seed * 1_000_003)
    assert torch.equal(drawn[0], torch.rand(3))  # as with one process
    assert not torch.equal(*drawn)


def test_gradients_are_computed_without_autocast(nights, train_tiny, quick, tmp_path, monkeypatch):
    found = []
    backward = Wav2SleepModule.manual_backward

    def note(self, loss):
        found.append((loss.dtype, torch.is_autocast_enabled("cpu")))
        backward(self, loss)

    monkeypatch.setattr(Wav2SleepModule, "manual_backward", note)
    settings = replace(quick, max_passes=1, precision="bf16-mixed")
    train_tiny(nights, tmp_path / "m", settings=settings, device="cpu")
    assert found == [(torch.float32, False)] * 2
