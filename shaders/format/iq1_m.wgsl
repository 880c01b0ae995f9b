// IQ1_M
