"""One connection to the broker, from dialling to its end, on websocket-client."""
