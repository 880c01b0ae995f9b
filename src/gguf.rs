//! GGUF files: a header with metadata and tensor shapes, then the tensors' bytes.
//!
//! ```text
//! "GGUF"  version u32  tensor count u64  key count u64
//! key count    × { key string, value type u32, value }
//! tensor count × { name string, dimensions u32, lengths u64…, tensor type u32, offset u64 }
//! zeros up to the alignment
//! tensor count × { data, zeros up to the alignment }
//! ```
//!
//! All numbers are little-endian. A string is its length in bytes (u64) and its bytes. This follows the GGUF
//! specification and, where that is silent, the reader of ggml 0.26.
//!
//! [`Model::open`] opens a model of one or several files. [`Header::read`] reads only the header of one file.
//! [`Layout`] and [`Writer`] write a file from start to end.
//!
//! A file that ggml refuses is refused here too, as a [`Fault`] with its byte offset. Nothing in a file is
//! trusted, and memory grows only by bytes that were read. Not supported: version 1, big-endian files, arrays
//! of arrays, and tensors that are out of order or leave gaps.

mod fault;
#[cfg(not(target_arch = "wasm32"))]
mod fingerprint;
mod metadata;
mod model;
mod read;
mod source;
mod tensor;
mod tensor_type;
mod value;
mod write;

pub use fault::{Fault, SplitFault};
#[cfg(feature = "llm")]
pub(crate) use fingerprint::Hash;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use fingerprint::fingerprint;
pub use metadata::Metadata;
pub use model::{Model, Shard, Tensor, split_name};
pub(crate) use model::{SPLIT_COUNT_KEY, SPLIT_NUMBER_KEY, SPLIT_TENSORS_KEY, split_suffix};
pub use read::Header;
pub use source::ReadAt;
pub use tensor::TensorInfo;
pub use tensor_type::TensorType;
pub use value::{Array, Value, ValueType};
pub use write::{Layout, Writer};

const MAGIC: [u8; 4] = *b"GGUF";
/// The version that is written. Version 2 differs only in that it does not specify a byte order.
const VERSION: u32 = 3;

const ALIGNMENT_KEY: &str = "general.alignment";
const DEFAULT_ALIGNMENT: u32 = 32;

/// The longest string and the longest array, ggml's `GGUF_MAX_STRING_LENGTH` and `GGUF_MAX_ARRAY_ELEMENTS`.
const MAX_LENGTH: u64 = 1 << 30;
/// The longest tensor name in bytes, ggml's `GGML_MAX_NAME` without the final zero.
const MAX_NAME_BYTES: u64 = 63;
/// The most dimensions of a tensor, ggml's `GGML_MAX_DIMS`.
const MAX_DIMENSIONS: u32 = 4;
