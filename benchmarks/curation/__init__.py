"""Filters, pages and files of large data sets measured."""
