"""What the folder of a run says of it, before and after anything was trained."""

import json
from dataclasses import asdict

import pytest

from mne_wav2sleep.training import TrainingSettings
from mne_wav2sleep.training.run import check_folder, claim_folder, describe_run, read_record
from mne_wav2sleep.training.schedule import Schedule


def describe(steps=3, base=None, nights=("a", "b"), **settings):
    return {
        "base": base,
        "settings": asdict(TrainingSettings(**settings)),
        "training": list(nights),
        "validation": ["c"],
        "schedule": asdict(Schedule(steps, 2, 50)),
    }


@pytest.fixture
def claimed(tmp_path):
    """A folder in which a run is described, and nothing was trained yet."""
    claim_folder(tmp_path, describe_run(tmp_path, describe()))
    return tmp_path


@pytest.fixture
def begun(claimed):
    """A folder with a checkpoint."""
    (claimed / "checkpoints").mkdir()
    (claimed / "checkpoints" / "last.ckpt").touch()
    return claimed


def test_before_the_first_checkpoint_a_run_may_change(claimed, caplog):
    caplog.set_level("INFO", "mne")
    other = describe(steps=4, learning_rate=3e-4, nights=("a", "d"))
    check_folder(claimed, other)
    record = describe_run(claimed, other)
    assert record["schedule"]["steps_per_pass"] == 4
    assert "the run begins anew (learning_rate is 0.0003, was 0.001; training lacks" in caplog.text
    claim_folder(claimed, record)
    assert read_record(claimed)["settings"]["learning_rate"] == 3e-4


def test_after_the_first_checkpoint_a_run_keeps_what_it_began_with(begun):
    for check in (check_folder, describe_run):
        with pytest.raises(ValueError, match=r"learning_rate is 0\.0003, was 0\.001"):
            check(begun, describe(learning_rate=3e-4))
    assert describe_run(begun, describe(steps=4))["schedule"]["steps_per_pass"] == 3


def test_initial_weights_are_compared_by_their_hash(begun):
    base = {"name": "mini", "sha256": "a" * 64}
    claim_folder(begun, describe(base=base))
    check_folder(begun, describe(base=base | {"name": "copy"}))
    with pytest.raises(ValueError, match=r"weights\.sha256 is b{64}, was a{64}"):
        check_folder(begun, describe(base=base | {"sha256": "b" * 64}))
    with pytest.raises(ValueError, match=r"weights\.name is None, was mini"):
        check_folder(begun, describe())


def test_a_model_whose_checkpoints_are_gone_is_not_replaced(claimed):
    (claimed / "metrics.csv").touch()
    before = (claimed / "training.json").read_bytes()
    record = describe_run(claimed, describe(max_passes=60))
    with pytest.warns(RuntimeWarning, match="no checkpoint. Training begins again with the first"):
        claim_folder(claimed, record)
    assert (claimed / "training.json").read_bytes() != before
    before = (claimed / "training.json").read_bytes()
    (claimed / "model.safetensors").touch()
    with pytest.raises(ValueError, match=r"has model\.safetensors, but no checkpoint to continue"):
        claim_folder(claimed, record)
    assert (claimed / "training.json").read_bytes() == before


@pytest.mark.parametrize(
    "schedule",
    [
        None,
        [3, 2, 50],
        {"steps_per_pass": 3},
        {"steps_per_pass": "3", "warmup_steps": 2, "decay_steps": 50},
        {"steps_per_pass": 3, "warmup_steps": 2, "decay_steps": 0},
        {"steps_per_pass": 3, "warmup_steps": -1, "decay_steps": 50},
        {"steps_per_pass": 3, "warmup_steps": 2, "decay_steps": 50, "other": 1},
    ],
)
def test_a_schedule_that_is_none_is_refused(schedule, begun):
    (begun / "training.json").write_text(json.dumps(describe() | {"schedule": schedule}))
    with pytest.raises(ValueError, match=r"training\.json does not describe a training run, or is"):
        check_folder(begun, describe())


@pytest.mark.parametrize("depth", [50, 100_000])
def test_a_record_that_is_nested_deeply_is_refused(depth, begun):
    text = json.dumps(describe())[:-1] + ', "architecture": '
    (begun / "training.json").write_text(text + '{"a":' * depth + "1" + "}" * depth + "}")
    with pytest.raises(ValueError, match=r"training\.json does not describe a training run, or is"):
        check_folder(begun, describe())
