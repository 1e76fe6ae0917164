"""The Lightning module: model, contrastive loss, optimizer and schedule."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from open_clip import CLIP
from open_clip.loss import ClipLoss
from pytorch_lightning.callbacks import Callback
from timm.scheduler import CosineLRScheduler
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from clip_mamba.data.batches import Batch, Plan
from clip_mamba.data.normalize import Normalize
from clip_mamba.recipe import Recipe, parameter_groups
from clip_mamba.seeding import integer
from clip_mamba.training.batch_norm import GlobalBatchNorm2d, convert
from clip_mamba.training.drop_path import DropPaths
from clip_mamba.training.features import Features


class ClipModule(pl.LightningModule):
    """CLIP model, contrastive loss, optimizer and schedule."""

    def __init__(
        self,
        model: CLIP,
        recipe: Recipe,
        plan: Plan,
        *,
        image_size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        """Wrap a model.

        Args:
            model: A CLIP model of open_clip's interface.
            recipe: The settings.
            plan: Who sees which pair when.
            image_size: Side of the model's input in pixels.
            mean: Normalisation of the pictures, per channel in [0, 1].
            std: Likewise.
        """
        super().__init__()
        self.model, self.recipe, self.plan = model, recipe, plan
        self.warmup_steps = round(recipe.warmup_epochs * plan.steps_per_epoch)
        self.recolour = recipe.augmentation.recolour(image_size)
        self.normalize = Normalize(mean, std)
        self.drop_paths = DropPaths(model.visual, recipe.drop_path)
        self.history: list[dict[str, float]] = []
        self.replaced = 0  # visits to pairs that could not be read
        self.stop_asked = False  # by a signal to this process
        self.stop_agreed = False  # by any process
        self.save_asked = False  # by the clock of the first process
        self.seconds_before, self.started = 0.0, time.monotonic()
        if recipe.grad_checkpointing:
            model.set_grad_checkpointing(True)
        with torch.no_grad():
            model.logit_scale.fill_(math.log(recipe.init_logit_scale))

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of training, those before an interruption included."""
        return self.seconds_before + time.monotonic() - self.started

    def setup(self, stage: str) -> None:
        """Make what depends on the number of processes.

        Args:
            stage: Lightning's name of the stage.

        Raises:
            ValueError: If a process's share cannot be divided into the micro-batches.
        """
        del stage
        world, pieces = self.trainer.world_size, self.recipe.accumulation
        self.places = self.plan.slice(self.global_rank, world)
        share = self.places.stop - self.places.start
        if share % pieces:
            raise ValueError(
                f"{share} pairs a process cannot be divided into accumulation={pieces} equal "
                "micro-batches: change batch_size, accumulation or the number of processes"
            )
        self.loss = ClipLoss(
            local_loss=world > 1, gather_with_grad=True, rank=self.global_rank, world_size=world
        )
        norms: list[GlobalBatchNorm2d] = []
        if pieces > 1 or (world > 1 and self.recipe.sync_batchnorm):
            norms = convert(self.model)
        self.features = Features(self.model, self.drop_paths, norms, pieces)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch.

        Args:
            batch: This process's share.
            batch_idx: Number of the batch.

        Returns:
            The contrastive loss, the mean of both directions.
        """
        del batch_idx
        step = self.global_step
        # For what a user's own model may draw; a resumed run must equal an uninterrupted one.
        torch.manual_seed(integer(self.plan.seed, "step", step, self.global_rank))
        images = self.normalize(self.recolour(batch.images, batch.draws))
        dropped = self.drop_paths.draw(self.plan.seed, step, self.plan.batch_size, self.places)
        with self._attention():
            image, text = self.features(images, batch.tokens, dropped.to(images.device))
        with torch.autocast(self.device.type, enabled=False):  # logits reach 100
            loss = self.loss(image.float(), text.float(), self.model.logit_scale.exp())
        self._agree(loss, batch.replaced)
        return loss

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute the gradients.

        Args:
            loss: The loss.
            *args: Lightning's.
            **kwargs: Lightning's.
        """
        with self._attention():  # a micro-batch is computed again here
            super().backward(loss, *args, **kwargs)

    def _attention(self) -> AbstractContextManager[Any]:
        # On a processor, the fused attention's backward in bfloat16 takes half of a ViT's step.
        fused = self.device.type != "cpu" or not str(self.trainer.precision).startswith("bf16")
        return nullcontext() if fused else sdpa_kernel(SDPBackend.MATH)

    def _agree(self, loss: Tensor, replaced: int) -> None:
        """Share what all processes must know of this step, in one exchange.

        Raises:
            FloatingPointError: If the mean loss is not finite, in all processes at once.
        """
        flags = [float(replaced), float(self.stop_asked), float(self.save_asked)]
        shared = torch.stack([loss.detach().float(), *loss.new_tensor(flags).float()])
        if self.trainer.world_size > 1:
            dist.all_reduce(shared)
            shared[0] /= self.trainer.world_size
        mean, *flags = shared.tolist()
        if not math.isfinite(mean):
            raise FloatingPointError(
                f"the loss is {mean} at step {self.global_step}; last good checkpoint: "
                f"{self._last_checkpoint()}. Lower the learning rate or train in bf16-mixed or "
                "32-true precision; a run that is started again goes on from the checkpoint."
            )
        self.replaced += int(flags[0])
        self.stop_agreed, self.save_asked = flags[1] > 0, flags[2] > 0
        self.log("loss", mean, prog_bar=True, rank_zero_only=True)
        self.log("logit_scale", self.model.logit_scale.exp().item(), rank_zero_only=True)
        self.log("lr", self.trainer.optimizers[0].param_groups[0]["lr"], rank_zero_only=True)
        self._remember(mean)

    def _last_checkpoint(self) -> object:
        callbacks: list[Callback] = list(self.trainer.callbacks)  # type: ignore[attr-defined]
        return next(filter(None, (getattr(c, "last", None) for c in callbacks)), "none yet")

    def _remember(self, loss: float) -> None:
        step, steps = self.global_step, self.plan.steps
        if step % max(1, steps // 200) == 0 or step == steps - 1:
            self.history.append({
                "step": step,
                "loss": round(loss, 6),
                "lr": self.trainer.optimizers[0].param_groups[0]["lr"],
                "logit_scale": round(self.model.logit_scale.exp().item(), 4),
            })

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Update the weights, then clamp the logit scale as CLIP does.

        Args:
            *args: Lightning's.
            **kwargs: Lightning's.
        """
        super().optimizer_step(*args, **kwargs)
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(self.recipe.max_logit_scale))

    def configure_optimizers(self) -> Any:
        """Return AdamW with linear warm-up and cosine decay, updated at each step.

        Returns:
            Lightning's optimizer and scheduler settings.
        """
        r = self.recipe
        groups = parameter_groups(self.model, r.weight_decay, r.decay)
        optimizer = torch.optim.AdamW(groups, lr=r.lr, betas=r.betas, eps=r.eps, fused=True)
        scheduler = CosineLRScheduler(
            optimizer,
            t_initial=self.plan.steps,
            lr_min=r.min_lr,
            warmup_t=self.warmup_steps,
            warmup_lr_init=r.warmup_lr,
            warmup_prefix=False,
            t_in_epochs=False,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Advance timm's scheduler, which wants the number of updates.

        Args:
            scheduler: The scheduler.
            metric: Unused.
        """
        del metric
        scheduler.step_update(num_updates=self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the history, the counts and the time spent with the checkpoint.

        Args:
            checkpoint: What Lightning is about to save.
        """
        checkpoint["history"] = list(self.history)
        checkpoint["seconds"], checkpoint["replaced"] = self.seconds, self.replaced

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the history, the counts and the time spent.

        Args:
            checkpoint: What Lightning loaded.
        """
        self.history = list(checkpoint["history"])
        self.seconds_before, self.replaced = checkpoint["seconds"], checkpoint["replaced"]
