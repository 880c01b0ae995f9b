//! Models as Hugging Face folders: safetensors, `config.json`, `tokenizer.json`.
//!
//! A folder is taken as the GGUF file that llama.cpp's converter makes of it (`convert_hf_to_gguf.py` at
//! llama.cpp commit 0c1e57098), byte for byte. Its header is made in memory, and tensor data is computed as it
//! is read.

#![allow(dead_code)]

mod files;
