"""Devices that stay true: registration, verification, their transitions, what is cleaned up."""
