"""Trained things made portable, and run: the ONNX router, bundles, model cards."""
