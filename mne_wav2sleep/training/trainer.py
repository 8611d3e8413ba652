"""Lightning's trainer: its devices, its options, and the modes of torch in which it works."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

from ..errors import summarize_error
from ..network.backends import use_float32
from ..progress import are_bars_shown, is_live
from ..verbosity import check_type, pluralize
from .checkpoints import WholeCheckpoints, make_callbacks
from .module import NightDataModule, Wav2SleepModule
from .monitoring import PassBar, PassMonitor, make_logger
from .stopping import STOPPED, StopBetweenSteps


def _choose_plugins() -> list[Any]:
    """Choose Lightning's plugins: our checkpoints, and no others in a job of SLURM.

    There, Lightning would write a checkpoint in the middle of a pass before it requeues the job.
    """
    plugins: list[Any] = [WholeCheckpoints()]
    # In this order, Lightning looks for them.
    if not TorchElasticEnvironment.detect() and SLURMEnvironment.detect():
        plugins.append(SLURMEnvironment(auto_requeue=False))
    return plugins


def choose_devices(device: torch.device, n_devices: int) -> dict[str, Any]:
    """Choose Lightning's options for the devices, and check that it can train on them."""
    check_type(n_devices, "int-like", "n_devices")
    if n_devices < 1:
        raise ValueError(f"n_devices must be 1 or more, got {n_devices}. Name at least one device.")
    options: dict[str, Any] = {
        "accelerator": device.type,
        # A single device is the named one; for several, Lightning takes the first.
        "devices": n_devices if device.index is None or n_devices > 1 else [device.index],
        "strategy": "ddp_find_unused_parameters_true" if n_devices > 1 else "auto",
    }
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    try:
        pl.Trainer(**options, logger=False, enable_checkpointing=False)
    except Exception as error:  # it has no type of its own for devices that are not there
        raise ValueError(
            f"PyTorch Lightning cannot train on {n_devices} device{pluralize(n_devices)} of the "
            f"kind {device.type!r} here ({summarize_error(error)}). Use fewer devices, or "
            "device='cpu'."
        ) from error
    return options


def fit_module(
    module: Wav2SleepModule,
    data: NightDataModule,
    folder: Path,
    devices: Mapping[str, Any],
    resume: Path | None,
    *,
    tensorboard: bool = False,
) -> tuple[pl.Trainer, PassMonitor]:
    """Train to the end, from a checkpoint if there is one; give what is known of passes."""
    settings = module.settings
    n_stages = module.model.config.n_classes
    monitor = PassMonitor(settings, folder, data.validation_datasets, n_stages)
    with_bar = are_bars_shown() and is_live()
    stop = StopBetweenSteps()
    with warnings.catch_warnings():
        # Advice on speed that does not matter for few nights, and on internals of dependencies.
        warnings.filterwarnings("ignore", module="pytorch_lightning.*|torch.*|lightning_fabric.*")
        trainer = pl.Trainer(
            **devices,
            precision=settings.precision,
            max_epochs=settings.max_passes,
            callbacks=[
                stop,
                monitor,
                *([PassBar()] if with_bar else []),
                *make_callbacks(settings, folder),
            ],
            plugins=_choose_plugins(),
            # In a job of SLURM, Lightning resumes from any hpc_ckpt_*.ckpt in its folder, which by
            # default is the working directory. In a folder that does not exist there is none.
            default_root_dir=folder / "checkpoints" / "none",
            logger=make_logger(folder, tensorboard=tensorboard) or False,
            use_distributed_sampler=False,  # PassSampler gives this process its share
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            enable_progress_bar=with_bar,
            enable_model_summary=False,
        )
        try:
            with stop.wait_for_step():
                trainer.fit(module, data, ckpt_path=resume, weights_only=True)
        except (SystemExit, RuntimeError) as error:
            # A signal to all processes of a job also ends those that read nights, which torch
            # reports as a RuntimeError.
            if stop.is_received or trainer.received_sigterm:
                raise SystemExit(STOPPED) from error
            # Lightning turns Ctrl-C into an exit, and notes an interruption for any error.
            if trainer.interrupted and isinstance(error, SystemExit):
                raise KeyboardInterrupt from error
            raise
    return trainer, monitor


@contextmanager
def use_plain_modes() -> Iterator[None]:
    """Leave the modes of torch in which a user may call: they would change what is learnt."""
    with ExitStack() as modes:
        modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda", "mps"):  # those that Lightning knows
            if torch.is_autocast_enabled(kind):
                modes.enter_context(torch.autocast(kind, enabled=False))
        if not _is_cpu_default():
            modes.enter_context(torch.device("cpu"))
        modes.enter_context(use_float32())
        yield


def _is_cpu_default() -> bool:
    """Check whether tensors are made on the CPU unless told otherwise."""
    try:
        return torch.get_default_device().type == "cpu"
    except (AssertionError, RuntimeError):  # a device that is not there
        return False
