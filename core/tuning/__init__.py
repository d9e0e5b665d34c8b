"""Hyper-parameter search over recipe fields, judged by validation users alone."""
