"""The command ``mne-wav2sleep``; a module for each group of commands.

In: arguments and options. Out: tables on stdout, files, and messages on stderr. Exit codes: 0,
success; 1, the recording, the weights, the device, a table or the output cannot be used; 2, wrong
options; 70, a bug in the package, with its traceback; 130, Ctrl-C; 143, SIGTERM in training.
"""

from .app import app, main

__all__ = ["app", "main"]
