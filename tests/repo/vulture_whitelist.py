"""What vulture takes for unused though somebody reads or calls it; beside it who does."""

_._drift_detected  # river, when it is asked whether it detected something
_.collect  # Prometheus, when it is scraped
_.describe  # Prometheus, when a collector is registered
trace  # Python, when it leaves a with block
