//! Models as Hugging Face folders: safetensors, `config.json`, `tokenizer.json`.
//!
//! A folder is taken as the GGUF file that llama.cpp's converter (`convert_hf_to_gguf.py`, commit 0c1e57098)
//! makes of it, byte for byte. Its header is made in memory, and tensor data is computed as it is read.

#![allow(dead_code)]

mod files;
