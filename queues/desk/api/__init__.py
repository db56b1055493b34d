"""The REST API of the queues: authentication, errors, and what programs may do."""
