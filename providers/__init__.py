"""Language-model providers behind one port, `providers.port.ChatModel`."""
