"""Child processes of `datainf serve`."""
