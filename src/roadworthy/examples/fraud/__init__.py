"""Card fraud: a simulator of payments and the system that judges them."""
