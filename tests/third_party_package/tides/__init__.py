"""What ModelTest can be given by a package that it does not know."""
