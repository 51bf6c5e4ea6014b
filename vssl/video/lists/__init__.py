"""Which videos there are: manifests, folders, published lists, shards, tables; and how they are divided."""
