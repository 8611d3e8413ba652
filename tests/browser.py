"""Reports in a real browser."""

import json
import re
import shutil
import subprocess

from mne_wav2sleep.reports.html import write_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")

# Measures the page once it is loaded, and appends the results to it.
MEASURE = """<script>
window.onerror = (message) => { document.body.dataset.errors = message; };
window.addEventListener("load", () => setTimeout(() => {
  document.documentElement.style.scrollBehavior = "auto";
  const images = [...document.querySelectorAll(".accordion-body img, .accordion-body svg")];
  const links = [...document.querySelectorAll("#toc a")];
  const at = links.map((link) => {
    window.scrollTo(0, 0);
    const box = link.getBoundingClientRect();
    const seen = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    link.click();
    const target = document.querySelector(link.getAttribute("href"));
    const top = target ? target.getBoundingClientRect().top : -1;
    const bar = document.querySelector("#top-bar").offsetHeight;
    const within = bar <= top && top < window.innerHeight;
    return [link.contains(seen), within, target ? target.textContent.trim().length : 0];
  });
  const found = {
    images: images.map((i) => [i.getBoundingClientRect().width, i.naturalWidth ?? 1]),
    rows: [...document.querySelectorAll(".accordion table")].map(
      (table) => table.querySelectorAll("tbody tr").length),
    titles: links.map((link) => link.textContent.trim()),
    targets: at,
    wide: document.documentElement.scrollWidth - window.innerWidth,
    extra: EXTRA,
  };
  const out = document.createElement("pre");
  out.id = "found";
  out.textContent = JSON.stringify(found);
  document.body.append(out);
}, 300));
</script>"""


def browse(report, folder, width, extra="null"):
    """Open a report; return what was measured in it, its console messages and its requests.

    What the JavaScript expression ``extra`` gives is measured last.
    """
    path, log = folder / "night.html", folder / "net.json"
    write_report(report, path)
    text = path.read_text(encoding="utf-8")
    head, tail = text.rsplit("</body>", 1)
    path.write_text(head + MEASURE.replace("EXTRA", extra) + "</body>" + tail, encoding="utf-8")
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--enable-logging=stderr",
            f"--user-data-dir={folder / 'profile'}",
            f"--log-net-log={log}",
            f"--window-size={width},1200",
            "--virtual-time-budget=8000",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    asked = re.findall(r'"url":"((?:https?|wss?)://[^"]+)"', log.read_text())
    own = ("google", "gvt1.com")  # requests of the browser itself
    requests = [u for u in asked if not any(name in u for name in own)]
    return json.loads(found[1]), console, requests
