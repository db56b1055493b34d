"""Push: installations, devices, deliveries, transports, registration API."""
