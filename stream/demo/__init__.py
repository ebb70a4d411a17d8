"""What `driftline demo` shows: a real stream of predictions and late labels, made from public data."""
