"""Template tags of push."""
