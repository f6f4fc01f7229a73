"""Evaluations: experiments that train again to say which scores to trust."""
