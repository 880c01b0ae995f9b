//! The integration tests: one program, a module per concern.

mod bench;
mod bench_models;
mod cli;
mod distortion;
mod fit;
mod formats;
mod gguf;
mod golden;
mod gpu;
mod llm;
mod llm_embed;
mod llm_run;
mod llm_text;
mod mix;
mod quantize_cli;
mod report;
mod round_trip;
mod stream;
mod support;
