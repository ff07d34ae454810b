"""Erasing what was read: by right (an erasure, listed and standing) and because no purpose holds it any more."""
