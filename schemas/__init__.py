"""The contract with the outside: what other services publish to Driftline and read from it."""
