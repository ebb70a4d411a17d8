"""The pure core: events in, alerts and incidents out; no I/O, no clock, no Faust, no river."""
