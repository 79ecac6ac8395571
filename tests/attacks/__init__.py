"""What somebody tries who can read and write the store, and has no key. To be read by auditors."""
