"""A whole site on one machine: simulated meters, gateway, link, broker and collector, each its own process."""
