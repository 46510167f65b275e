"""The broker's REST side: login, logout, and the books."""
