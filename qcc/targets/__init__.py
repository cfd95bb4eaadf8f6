"""Deployment targets: tables of what each of them runs."""
