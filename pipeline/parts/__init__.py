"""Parts of the page of a run: one module a noun, each of what files hold, every number traced to its place."""
