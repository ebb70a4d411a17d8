"""Driftline: online drift detection over Kafka streams of predictions and feedback."""

__version__ = "0.1.0"
