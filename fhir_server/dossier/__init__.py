"""Document exchange: PDSm, MHD, CDA."""
