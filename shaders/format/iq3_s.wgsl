// IQ3_S
