"""A test for every threat F01 to F60; one file a group. ``catalogue`` says what they are."""
