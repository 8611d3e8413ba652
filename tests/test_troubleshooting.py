"""The messages that the documentation explains are those of the package."""

import ast
import re
from pathlib import Path

import mne_wav2sleep

PAGE = Path(__file__).parents[1] / "docs" / "troubleshooting.md"
GAP = "…"


def find_messages():
    """All texts of the package, with the page's mark in place of what is filled in."""
    messages = set()
    for path in Path(mne_wav2sleep.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else GAP for p in node.values)
                messages.add("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                messages.add(node.value)
    return messages


def test_every_message_that_is_explained_occurs_in_the_package():
    text = PAGE.read_text(encoding="utf-8")
    entries = [entry.partition("`:")[0] for entry in re.split(r"^- (?=`)", text, flags=re.M)[1:]]
    quoted = [q for entry in entries for q in re.findall(r"`([^`]+)`", f"{entry}`")]
    assert len(quoted) > 40
    messages = find_messages()

    def is_there(quote):
        # A gap may stand for several values with words between them.
        pattern = ".*".join(map(re.escape, quote.removeprefix(f"{GAP} ").split(GAP)))
        return any(re.search(pattern, message) for message in messages)

    assert [quote for quote in quoted if not is_there(quote)] == []
