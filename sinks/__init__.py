"""Channel sinks: they consume sync updates and bring each channel to the newest quantity."""
