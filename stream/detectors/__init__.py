"""Detectors: one algorithm a file, behind the contract of stream.core.ports; the only users of river."""
