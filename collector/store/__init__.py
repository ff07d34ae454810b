"""Where evidence, readings and what follows from them are kept."""
