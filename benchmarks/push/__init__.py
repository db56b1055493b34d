"""Push beside its peers: encryption, sends, registrations, deliveries drained."""
