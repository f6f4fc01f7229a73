"""How many tokens a batch may have: found while working, halved when memory runs out, remembered."""

import torch

#: Where growth begins, and where it ends at the latest.
_FIRST_TOKENS = {"cpu": 1024, "cuda": 8192}
_MOST_TOKENS = {"cpu": 8192, "cuda": 1 << 18}
#: A query waits for one micro-batch: growth ends before one takes longer than this, and slow models get less.
_BATCH_SECONDS = 0.25
#: Smaller batches than this would leave the device idle between them.
_FEWEST_TOKENS = 256
#: A batch twice as large must be faster by this factor, a token, to be worth it.
_WORTHWHILE_GAIN = 1.03
#: A batch tells how fast its budget is when it fills so much of it.
_FULL_SHARE = 0.7
#: Gradients of one batch held at once, at most.
_GRADIENT_BYTES = {"cpu": 256 << 20, "cuda": 4 << 30}


class TokenBudget:
    """Tokens of a micro-batch, padding included. Gradients depend on it by rounding alone.

    One made with `for_device` is probed on the work itself: it doubles for as long as that makes tokens faster.
    """

    def __init__(self, tokens: int, *, growing: bool = False, most_tokens: int | None = None) -> None:
        self.tokens = tokens
        self.growing = growing
        self._most_tokens = most_tokens or tokens
        self._fastest = 0.0
        self._warm = False

    @classmethod
    def for_device(cls, device: torch.device) -> "TokenBudget":
        """A budget that finds its own size on a device."""
        kind = "cuda" if device.type == "cuda" else "cpu"
        return cls(_FIRST_TOKENS[kind], growing=True, most_tokens=_MOST_TOKENS[kind])

    def observe(self, tokens: int, seconds: float) -> None:
        """Hear how long a batch of so many tokens took; grow if the last growth was worth it, shrink if it was slow."""
        if not self.growing or tokens < _FULL_SHARE * self.tokens:
            return
        if not self._warm:  # the first batch pays for starting up
            self._warm = True
            return
        rate = tokens / max(seconds, 1e-9)
        if seconds > 2 * _BATCH_SECONDS:
            self.tokens = max(int(rate * _BATCH_SECONDS), _FEWEST_TOKENS)
            self.growing = False
        elif rate < self._fastest * _WORTHWHILE_GAIN:
            self.tokens //= 2
            self.growing = False
        elif 2 * seconds > _BATCH_SECONDS or 2 * self.tokens > self._most_tokens:
            self.growing = False
        else:
            self._fastest = rate
            self.tokens *= 2

    def halve(self, *, rows: int, longest: int) -> None:
        """Shrink for good after a batch of `rows` rows of `longest` tokens did not fit; one row always may."""
        self.tokens = max(rows * longest // 2, longest)
        self.growing = False


def most_rows(parameters: int, device: torch.device, *, itemsize: int = 4) -> int:
    """Rows whose gradients of so many parameters fit what a batch may hold."""
    kind = "cuda" if device.type == "cuda" else "cpu"
    return max(1, _GRADIENT_BYTES[kind] // max(parameters * itemsize, 1))
