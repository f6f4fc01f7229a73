"""Indexes over HTTP: submit a build, grow, delete."""
