"""Two runs side by side, and whether the second keeps to what is asked of it. Pure: no file is read here."""
