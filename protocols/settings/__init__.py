"""Settings in a TOML file: read once into frozen values, every fault named at once with its line and column."""
