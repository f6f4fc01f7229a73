"""What an index says of its codes, measured when it is built."""

import numpy as np
from support.coded import Problem

from influence.compact.encoder import fit_encoder
from influence.methods.codes.fidelity import measure_fidelity
from influence.methods.registry import METHODS


def test_fidelity_is_high_where_the_rank_suffices_and_warns_where_not(problem: Problem) -> None:
    sample, held_out = [block[:150] for block in problem.train], np.arange(150, 300)
    fidelity = measure_fidelity(fit_encoder(sample, rank=12), problem.train, held_out, queries=40)
    assert set(fidelity.methods) == {name for name, method in METHODS.items() if method.on_codes is not None}
    assert all(0.9 < agreement <= 1 for agreement in fidelity.methods.values()), fidelity.methods
    assert fidelity.queries == 40
    assert fidelity.rows == 150
    assert fidelity.spearman_mean > 0.99
    assert fidelity.found > 0.98
    assert fidelity.warnings == ()
    assert 0 <= fidelity.residual < 0.2
    warned = measure_fidelity(fit_encoder(sample, rank=1, directions=1), problem.train, held_out)
    assert warned.spearman_mean < fidelity.spearman_mean
    assert any("raise 'rank'" in warning for warning in warned.warnings)
