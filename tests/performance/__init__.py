"""What costs time is counted here, never measured: the figures are in docs/performance.md."""
