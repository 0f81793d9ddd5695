"""A whole experiment in one folder: stages that are made once and gone on with, every arm's evaluation, one report."""
