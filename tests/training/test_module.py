"""The loss that Lightning minimizes."""

import torch

from mne_wav2sleep.cohorts.batches import collate
from mne_wav2sleep.network import Wav2Sleep
from mne_wav2sleep.training import Masking
from mne_wav2sleep.training.module import Wav2SleepModule
from mne_wav2sleep.training.sampling import NightDataset, make_loader

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
    module = Wav2SleepModule(model, quick, ("classifier",))
    total, count = module.compute_loss(batch)
    alone = [module.compute_loss(collate([item])) for item in items]
    torch.testing.assert_close(total, sum(t for t, _ in alone), rtol=1e-5, atol=1e-5)
    assert count == sum(c for _, c in alone) == 36


def test_unscored_epochs_do_not_count(nights, tiny, quick):
    module = Wav2SleepModule(Wav2Sleep(tiny).eval(), quick, ("classifier",))
    batch = collate([NightDataset(nights[:3], ["ECG"], 4, **CROPPED)[0]])
    before = module.compute_loss(batch)
    batch["stages"][0, 3:6] = -1
    total, count = module.compute_loss(batch)
    assert count == before[1] - 3
    assert total < before[0]


def test_the_learning_rate_rises_and_then_decays(tiny, quick):
    module = Wav2SleepModule(Wav2Sleep(tiny), quick, ("classifier",))
    factor = module.configure_optimizers()["lr_scheduler"]["scheduler"].lr_lambdas[0]
    assert [factor(step) for step in (0, 1, 2)] == [0.5, 1.0, 1.0]
    assert factor(52) == factor(2) / torch.e
    names = {name.split(".")[0] for name, p in module.model.named_parameters() if p.requires_grad}
    assert names == {"classifier"}


def test_the_loss_of_a_step_does_not_depend_on_which_nights_are_in_it(nights, tiny, quick):
    """Nights of 20 and 17 epochs, whole and without padding, as ``mini`` was trained."""
    torch.manual_seed(0)
    module = Wav2SleepModule(Wav2Sleep(tiny).eval(), quick, ("classifier",))
    whole = {"crop": None, "padded_epochs": 0, "masking": Masking.off()}

    def compute(chosen):
        dataset = NightDataset(chosen, ["ABD", "ECG", "PPG", "THX"], 4, **whole)
        (step,) = make_loader(dataset, None, len(chosen), n_workers=0)
        return module._sum_losses(step)

    _, *alone = zip(*[compute([night]) for night in nights], strict=True)
    for chosen in ([0, 3], [1, 2, 4], range(6)):
        names, total, count = compute([nights[i] for i in chosen])
        assert len(names) == len(chosen)
        assert count == sum(alone[1][i] for i in chosen)
        expected = sum(alone[0][i] for i in chosen)
        torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-5)
