"""From the text of a frame to quotes and updates."""
