"""TracIn over several checkpoints of one run: gradient products, each checkpoint's weighted by its learning rate.

    influence(v, k) = - sum_c eta_c <v_c, g_kc>

with v_c and g_kc the gradients at checkpoint c. Each index holds one checkpoint; whoever asks sums over them, and the
method is that of each. With one checkpoint and weight 1 it is `hessian_free`. Source: Pruthi et al. 2020, TracIn.
"""

from typing import ClassVar

from influence.methods.hessian_free import HessianFree


class TracIn(HessianFree):
    """One pass per query and checkpoint, no curvature, no damping."""

    name: ClassVar[str] = "tracin"
    title: ClassVar[str] = "TracIn (several checkpoints)"
    summary: ClassVar[str] = "Gradient products summed over a run's checkpoints, weighted by their learning rates."
    cost: ClassVar[str] = "one pass per checkpoint"
    needs_checkpoints: ClassVar[bool] = True
