"""Pull requests on a forge, by its REST API."""
