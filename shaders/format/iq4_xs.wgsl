// IQ4_XS
