// IQ2_S
