"""A task put to the trial: calls over HTTP, exactness of its gradients, what a terminal shows of its answers."""
