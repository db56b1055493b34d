"""The REST API of push: devices that register, programs that send."""
