// IQ1_S
