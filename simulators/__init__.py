"""Meters, sites, links and faults on the wire; also the demo."""
