"""The account life cycle: notice, activation, opposition, children, closing."""
