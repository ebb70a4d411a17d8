"""The laboratory: detectors x streams x seeds, and what their alarms are worth; see :mod:`.plan`."""
