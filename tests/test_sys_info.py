import io
from importlib import metadata

import mne
import torch

from mne_wav2sleep import sys_info


def test_platform_devices_and_versions_are_printed(capsys):
    sys_info()
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert {"Platform", "Python", "Devices", "Threads"} <= set(rows)
    assert rows["Devices"].startswith("cpu")
    assert rows["Threads"] == str(torch.get_num_threads())
    assert rows["mne"] == mne.__version__
    assert rows["torch"] == metadata.version("torch")


def test_missing_packages_are_reported(monkeypatch):
    def find_version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", find_version)
    text = io.StringIO()
    sys_info(text)
    rows = [line for line in text.getvalue().splitlines() if line.endswith("not installed")]
    assert [row.split()[0] for row in rows][-1] == "pytorch-lightning"
    assert len(rows) > 10
