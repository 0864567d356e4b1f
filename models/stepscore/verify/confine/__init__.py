"""Confinement: one process without network, foreign files, children or time to waste. Linux on x86-64 and arm64."""
