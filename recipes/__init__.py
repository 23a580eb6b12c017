"""The recipes that ship with prunekit."""
