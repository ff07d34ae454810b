"""M-Bus (EN 13757): link frames, records and the master's session, as code without input or output."""
