// The original has its database and WebSocket code in this folder.
