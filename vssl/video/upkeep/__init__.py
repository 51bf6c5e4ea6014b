"""What `vssl data` does with whole sets: checking, copying, finding what is there twice, counting."""
