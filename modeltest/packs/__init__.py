"""Reference packs as files: written, read and checked."""
