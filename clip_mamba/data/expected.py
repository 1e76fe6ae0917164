"""The size that a corpus should have."""

from __future__ import annotations

from dataclasses import dataclass

from clip_mamba.data.yfcc_counts import DECLIP, DECLIP_PAIRS


@dataclass(frozen=True)
class Expected:
    """The number of pairs that a corpus should have, and how far it may be off."""

    pairs: int
    tolerance: float = 0.02  # share of the pairs

    def check(self, found: int, where: str) -> None:
        """Refuse a corpus of another size.

        Args:
            found: Pairs that were found.
            where: What is named in the message.

        Raises:
            ValueError: If the number is off by more than the tolerance.
        """
        if abs(found - self.pairs) > self.tolerance * self.pairs:
            declip = abs(found - DECLIP_PAIRS) < 0.01 * DECLIP_PAIRS
            raise ValueError(
                f"{where}: {found:,} pairs, expected {self.pairs:,} within "
                f"{self.tolerance:.0%}: probably not the corpus that is meant. "
                f"{DECLIP if declip else ''}"
                "If it is, set n_pairs in the configuration's corpus section to the new number."
            )
