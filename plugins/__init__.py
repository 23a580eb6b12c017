"""Everything swappable, one small file each, found through the registry as anybody else's plugins are."""
