"""What a training log should look like: each number with its healthy range and what it means when it leaves it.

The ranges are rules of thumb, not laws: that of a run's own ``target_kl`` is exact, that of the KL to the old policy
follows Spinning Up's advice for PPO (0.01 to 0.05 nats), a DPO accuracy of one half is a coin, and the rest is
experience with this package. They say where to look first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

Band = tuple[float | None, float | None]


@dataclass(frozen=True)
class Gauge:
    """A number of the log.

    Attributes:
        key: its name there; title: for people; band: the healthy range, None is an open end.
        below, above: what it means when the number is there.
        note: where the range comes from, if not from experience.
    """

    key: str
    title: str
    band: Band
    below: str = ""
    above: str = ""
    note: str = ""

    def verdict(self, value: float) -> str:
        """What the number means; empty if it is in its range."""
        low, high = self.band
        if low is not None and value < low:
            return self.below
        return self.above if high is not None and value > high else ""


PPO = (
    Gauge("policy/kl_old", "KL to the collecting policy (nats)", (0.0, 0.05),
          above="the steps are too large: lower the learning rate, or set target_kl"),
    Gauge("policy/kl_reference", "KL to the start (nats)", (0.0, 0.5),
          above="far from its start: what imitation taught may be lost; raise kl_coef"),
    Gauge("policy/clip_fraction", "clip fraction", (0.005, 0.3),
          below="the policy hardly moves: raise the learning rate or the passes",
          above="most of the update is cut off: lower the learning rate or the passes"),
    Gauge("policy/entropy", "entropy (1 is uniform)", (0.02, 0.9),
          below="collapsed: it does not explore any more; raise entropy_coef or the temperature",
          above="still nearly uniform: it has learned nothing to prefer"),
    Gauge("value/explained_variance", "explained variance of the values", (0.2, 1.0),
          below="the values explain little, so advantages are mostly noise: more value_warmup, or more steps"),
    Gauge("policy/ratio_first", "probability ratio of the first minibatch", (0.99, 1.01),
          below="the collecting policy is not the one that is trained: a fault",
          above="the collecting policy is not the one that is trained: a fault"),
    Gauge("train/gradient_norm", "gradient norm, before it is clipped", (0.0, 10.0),
          above="gradients are cut to a small part: lower the learning rate"),
)  # fmt: skip
DPO = (
    Gauge("rewards/accuracies", "share of pairs that are ordered rightly", (0.55, 1.0),
          below="no better than a coin: the pairs teach nothing yet", note="one half is a coin"),
    Gauge("rewards/margins", "margin of the preferred action", (0.0, None),
          below="the worse action is preferred"),
    Gauge("rewards/chosen", "implicit reward of the preferred action", (-0.5, None),
          below="the preferred action loses probability too: add the imitation term, or lower the learning rate"),
    Gauge("entropy", "entropy (nats)", (0.01, None), below="collapsed onto single actions"),
    Gauge("grad_norm", "gradient norm", (0.0, 10.0), above="gradients are large: lower the learning rate"),
)  # fmt: skip
IMITATION = (
    Gauge("accuracy", "share of right actions", (0.7, 1.0), below="it does not follow its demonstrations yet"),
    Gauge("grad_norm", "gradient norm", (0.0, 10.0), above="gradients are large: lower the learning rate"),
)
JUDGEMENT = (Gauge("grad_norm", "gradient norm", (0.0, 10.0), above="gradients are large: lower the learning rate"),)
GAUGES: Mapping[str, tuple[Gauge, ...]] = {"ppo": PPO, "dpo": DPO, "imitation": IMITATION, "judgement": JUDGEMENT}


def gauges_of(method: str, settings: Mapping[str, Any]) -> tuple[Gauge, ...]:
    """The gauges of a method; a run with ``target_kl`` is measured by that."""
    found = GAUGES.get(method, ())
    trainer = settings.get("trainer")
    target = trainer.get("target_kl") if isinstance(trainer, Mapping) else None
    if not isinstance(target, int | float) or isinstance(target, bool):
        return found
    band, note = (0.0, 1.5 * target), f"one and a half times this run's target_kl of {target:g}"
    return tuple(replace(one, band=band, note=note) if one.key == "policy/kl_old" else one for one in found)
