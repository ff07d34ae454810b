"""The only input and output of this package: serial lines, TCP, MQTT."""
