"""Measure the overview of a cohort: python benchmarks/bench_overview.py [--nights 60 1000 10000].

For each number of nights, a cohort is made up: hypnograms of YASA, written to files, and a table in
which some nights failed, were measured badly, or are unusual. Printed are the time and peak memory
of making the overview from these files, each in a process of its own, its size, and the time until
Chromium has loaded it, at two widths (medians of --loads runs): until all is parsed, and until the
first frame after the event "load" is painted, both since navigation began, by the browser's clock.
With --keep, the cohorts are kept in a folder, and used again.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import yasa

FAILURES = (
    "{file} cannot be opened: it ends in the middle of a record. Copy it again.",
    "The recording {file} lasts {n} s, which is less than an epoch of 30 s. Give a longer one.",
    "No channel of {file} fits a modality of the weights: EEG {n}. Name one with ch_names.",
)
WARNINGS = (
    "PPG: {n} % of the night was not measured and is masked.",
    "The recording {file} begins in daytime, at 13:{n:02d}.",
    "ECG: plausible beats were found in only {n} % of the inspected epochs.",
)
WIDTHS = (1400, 500)  # Chromium makes no narrower window
# In the task after the first frame since "load", what is in view has been painted.
PROBE = """<script>addEventListener("load", () => requestAnimationFrame(() => setTimeout(() => {
  const timing = performance.getEntriesByType("navigation")[0];
  const root = document.documentElement;
  fetch("http://127.0.0.1:PORT", {method: "POST", mode: "no-cors", body: JSON.stringify({
    parsed: timing.domInteractive, loaded: timing.loadEventStart, painted: performance.now(),
    nodes: document.querySelectorAll("*").length, width: root.scrollWidth,
    height: root.scrollHeight})});
})));</script>"""


class Listener(BaseHTTPRequestHandler):
    """Takes what a page has measured."""

    def do_POST(self):
        """Keep what was sent."""
        self.server.found = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        """Say nothing."""


def make_hypnogram(rng: np.random.Generator, seed: int, scorer: str = "wav2sleep (mini)"):
    """Make up a hypnogram with probabilities."""
    minutes = float(np.clip(rng.normal(480, 50), 240, 660).round())
    noon = pd.Timestamp("2026-03-01 12:00") + pd.Timedelta(days=seed % 700)
    start = noon + pd.Timedelta(minutes=round(rng.normal(630, 45), 1))
    hyp = yasa.simulate_hypnogram(tib=minutes, n_stages=4, seed=seed)
    proba = 0.1 + rng.uniform(0.3, 1) * pd.get_dummies(hyp.hypno).astype(float)
    proba = proba.reindex(columns=["WAKE", "LIGHT", "DEEP", "REM"], fill_value=0.1)
    proba += rng.uniform(0, 0.1, proba.shape)
    proba = proba.div(proba.sum(axis=1), axis=0)
    stages = proba.idxmax(axis=1).astype(object)
    if rng.random() < 0.1:
        first = rng.integers(stages.size // 2)
        stages.iloc[first : first + 120] = "UNS"
        proba["UNS"] = (stages == "UNS").astype(float)
        proba.loc[stages == "UNS", ["WAKE", "LIGHT", "DEEP", "REM"]] = 0.0
    start = None if rng.random() < 0.02 else start
    return yasa.Hypnogram(
        stages.to_list(), n_stages=4, freq="30s", start=start, scorer=scorer, proba=proba
    )


def make_row(number: int, rng: np.random.Generator, folder: Path | None) -> dict:
    """Make up the row of a night, and write its hypnogram if there is a folder."""
    name, n = f"night{number:05d}", int(rng.integers(10, 60))
    file = f"/data/cohort/{name}.edf"
    row = {
        "night": name,
        "status": "staged",
        "recording": file,
        "subject": f"p{number // 2:05d}",
        "dataset": ("Alpha", "Beta", "Gamma")[number % 7 % 3],
    }
    texts = [text.format(n=n, file=file) for text in WARNINGS if rng.random() < 0.1]
    row |= {"n_warnings": len(texts), "warnings": " | ".join(texts) or None}
    if rng.random() < 0.05 or number == 7:
        reason = FAILURES[int(rng.integers(len(FAILURES)))].format(n=n, file=file)
        return row | {"status": "failed", "reason": reason}
    hyp = make_hypnogram(rng, number)
    if folder is not None:
        hyp.to_json(folder / f"{name}.json")
    proba = hyp.proba.drop(columns="UNS", errors="ignore").max(axis=1)[
        (hyp.hypno != "UNS").to_numpy()
    ]
    row |= {
        "start": None if hyp.start is None else hyp.start.isoformat(),
        "hours": hyp.duration / 60,
        "epochs": hyp.n_epochs,
        "unscored": (hyp.hypno == "UNS").mean(),
        "certainty": proba.mean(),
        "uncertain": (proba < 0.5).mean(),
    }
    for name, share in (("ABD", 0.3), ("ECG", 0.9), ("PPG", 0.7), ("THX", 0.8)):
        if rng.random() < share:
            row |= {
                f"channel_{name}": name.lower(),
                f"measured_{name}": rng.beta(9, 0.3),
                f"plausible_{name}": rng.beta(9, 0.4),
            }
    return row | hyp.sleep_statistics()


def make_cohort(n_nights: int, folder: Path, seed: int = 0) -> pd.DataFrame:
    """Make up a cohort in a folder."""
    hypnograms = folder / "hypnograms"
    hypnograms.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    rows = [make_row(number, rng, hypnograms) for number in range(n_nights)]
    table = pd.DataFrame(rows).set_index("night")
    table.to_csv(folder / "nights.csv")
    return table


def write_overview(folder: Path) -> dict:
    """Make and write the overview of a cohort, and measure it."""
    from mne_wav2sleep.cohorts import load_cohort
    from mne_wav2sleep.reports.cohort import make_overview
    from mne_wav2sleep.reports.html import write_report

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    cohort = load_cohort(folder)
    weights = {"name": "mini", "sha256": "ab" * 32}
    report = make_overview(
        cohort.table, cohort.hypnograms, title=folder.name, parameters={"weights": weights}
    )
    write_report(report, folder / "report.html", overwrite=True)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": time.perf_counter() - begin,
        "memory before [MB]": before / 1024,
        "memory [MB]": after / 1024,
        "size [MB]": (folder / "report.html").stat().st_size / 1e6,
    }


def browse(page: Path, width: int) -> dict:
    """Load a page in Chromium, and let it measure itself by the browser's clock.

    A page that is dumped (--dump-dom) would be measured in virtual time, or before it is painted.
    """
    with (
        HTTPServer(("127.0.0.1", 0), Listener) as server,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        server.timeout, server.found = 60, None
        head, tail = page.read_text(encoding="utf-8").rsplit("</body>", 1)
        probe = PROBE.replace("PORT", str(server.server_port))
        probed = page.with_name("probed.html")
        probed.write_text(f"{head}{probe}</body>{tail}", encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        options += [f"--window-size={width},1200", f"--user-data-dir={profile}", "--no-first-run"]
        browser = shutil.which("chromium") or shutil.which("chromium-browser") or "google-chrome"
        process = subprocess.Popen([browser, *options, probed.as_uri()], stderr=subprocess.DEVNULL)
        try:
            server.handle_request()
        finally:
            process.terminate()
            process.wait()
            probed.unlink()
    if server.found is None:
        raise RuntimeError(f"Chromium did not load {page} within a minute.")
    return server.found


def main() -> None:
    """Measure the overview."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, nargs="+", default=[60, 1000])
    parser.add_argument("--loads", type=int, default=5)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--only", type=Path, help="make the overview of this folder, and measure")
    args = parser.parse_args()
    if args.only:
        print(json.dumps(write_overview(args.only)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        for n_nights in args.nights:
            folder = (args.keep or Path(temporary)) / f"cohort of {n_nights}"
            if not folder.exists():
                make_cohort(n_nights, folder)
            command = [sys.executable, __file__, "--only", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            row = {"nights": n_nights} | json.loads(done.stdout.splitlines()[-1])
            for width in WIDTHS:
                runs = [browse(folder / "report.html", width) for _ in range(args.loads)]
                for name in ("parsed", "loaded", "painted"):
                    row[f"{name} at {width} px [s]"] = (
                        statistics.median(r[name] for r in runs) / 1e3
                    )
                row[f"nodes, width, height at {width} px"] = [
                    runs[0][name] for name in ("nodes", "width", "height")
                ]
            print(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
