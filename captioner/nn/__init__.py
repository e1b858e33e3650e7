"""The networks: attention, encoders, decoder, and the model they make. Torch only."""
