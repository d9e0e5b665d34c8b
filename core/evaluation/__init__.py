"""How quality is measured: metrics, statistics and baselines."""
