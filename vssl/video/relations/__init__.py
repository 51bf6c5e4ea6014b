"""How the views of one sample lie to each other in time; one class a file."""
