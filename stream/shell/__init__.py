"""The shell: everything impure around the core. Kafka, Faust, HTTP, Prometheus, the clock, processes."""
