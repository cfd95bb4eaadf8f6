"""What a model is made of, and where its accuracy and time go."""
