"""The data of a run, once Lightning knows the processes and the step to go on from."""

from __future__ import annotations

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from clip_mamba.data.batches import Batch, Batches, Plan, Source, make_loader


class PairsData(pl.LightningDataModule):
    """This process's batches, from the step at which the run stands."""

    def __init__(self, plan: Plan, source: Source, workers: int) -> None:
        """Keep the parts.

        Args:
            plan: Who sees which pair when.
            source: Where pairs come from.
            workers: Processes that make batches ahead.
        """
        super().__init__()
        self.plan, self.source, self.workers = plan, source, workers

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the loader; Lightning has restored the checkpoint by then.

        Returns:
            Batches of the steps that are left.
        """
        assert self.trainer is not None
        batches = Batches(self.plan, self.source, self.trainer.global_rank, self.trainer.world_size)
        on_gpu = self.trainer.strategy.root_device.type == "cuda"
        return make_loader(batches, self.trainer.global_step, self.workers, pin_memory=on_gpu)
