"""Networks of whatever library, as the property suite calls them."""
