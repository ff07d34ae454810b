"""Torture: real processes under faults that a seed draws, and a count by the meters' own record."""
