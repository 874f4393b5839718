"""The variables that the plug-in `demanded_device` reads; apart from it, for it imports pytest."""

DEVICE = "ON_DEVICE_DEMANDED"
"""The device that the tests are to run on."""

FACTS = "ON_DEVICE_FACTS"
"""The file for what the plug-in found."""
