"""The RESTful interactions, one file each; `routes` is the table of them."""
