"""Acts on many items as durable operations: frozen, previewed, carried out at a pace, aborted, resumed, undone."""
