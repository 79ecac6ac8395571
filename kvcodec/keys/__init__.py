"""Keys and their names: paths, templates, hashed and hidden ones."""
