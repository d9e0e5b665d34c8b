"""Everything about bits: loading, quantizing and auditing backbones. Knows nothing of recommendation."""
