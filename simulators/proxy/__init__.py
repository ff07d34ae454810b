"""A fault proxy: between any client and any server of TCP, and between MQTT clients and their broker."""
