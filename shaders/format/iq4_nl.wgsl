// IQ4_NL
