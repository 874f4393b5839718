"""One run: launched and watched by a supervisor, carried out by a worker, journalled, finished."""
