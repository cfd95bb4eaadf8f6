"""What is measured on data: activations, and the data's readers."""
