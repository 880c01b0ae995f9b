// IQ2_XS
