"""Guests: what the vCPUs of a machine execute."""
