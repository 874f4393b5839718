"""Several processes for one model: split over them, or a copy in each."""
