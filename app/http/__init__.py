"""What all resources share: authentication, bodies, errors, responses, paging, probes."""
