"""The compact index: what it keeps of a training row and how a query is answered from that.

Read in this order: `basis` (directions kept of each block), `layout` (where a code's numbers lie), `codes`
(bytes of a row), `preconditioning` (another metric for all of it), `moments` (sums over rows), `coded_rows` (all of
that together), `inverse` (one vector that answers a test point), `scan` (one pass over all codes), `rerank` (true
gradients where people look), then `growth` and `admission`. No method is known here: each makes its own inverse
curvature of what is here (`influence.methods`).
"""
