"""Run scripts that show faults in other people's recordings: python tests/cases.py FOLDER.

Each script runs in a process of its own and prints PASS or FAIL. The scripts were written for
names from before the layout of today, which are replaced in a copy.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = {
    "from mne_wav2sleep import read_stages": (
        "from mne_wav2sleep.hypnograms.reading import locate_hypnogram as read_stages"
    ),
    "from mne_wav2sleep.recording import": "from mne_wav2sleep.recordings import",
    "from mne_wav2sleep.training import prepare_nights": (
        "from mne_wav2sleep.cohorts import prepare_nights"
    ),
    "from mne_wav2sleep import weights as w": (
        "import types\nfrom mne_wav2sleep.network import download, registry\n"
        "w = types.SimpleNamespace(\n"
        "    REGISTRY=registry.REGISTRY, fetch_weights=download.fetch_weights\n)"
    ),
    '"finetune"': '"fine-tune"',
    '"--accelerator", "gpu"': '"--device", "cuda"',
    '"--accelerator", "mps"': '"--device", "mps"',
}


def run_case(script: Path, folder: Path) -> str:
    """Run a script, and return the lines that it prints."""
    text = script.read_text(encoding="utf-8")
    for old, new in NAMES.items():
        text = text.replace(old, new)
    copy = folder / script.name
    copy.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(copy)],
        env=os.environ | {"MNE_LOGGING_LEVEL": "WARNING"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    lines = done.stdout.strip() or f"FAIL {script.stem}: {done.stderr.strip()[-500:]}"
    return lines if "PASS" in lines or "FAIL" in lines else f"FAIL {script.stem}: {lines}"


def main() -> None:
    """Run all scripts of a folder."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for script in sorted(Path(sys.argv[1]).glob("[0-9]*.py")):
            lines = run_case(script, Path(folder))
            failed += "FAIL" in lines
            print(lines, flush=True)
    sys.exit(f"{failed} failed" if failed else 0)


if __name__ == "__main__":
    main()
