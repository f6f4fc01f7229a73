"""The kinds of evaluation, one or two files each."""
