"""The weights that come with captioner, one safetensors file a task, each beside its model card."""
