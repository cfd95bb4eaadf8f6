"""What a program is: the graph, the rules that it keeps, and its forms as text and data."""
