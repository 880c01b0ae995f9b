//! What is wrong with an output file.

/// Why an output is not written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputFault {
    /// The output is one of the input files.
    #[error("is the input; choose another output")]
    SameFile,

    /// The output exists and may not be replaced.
    #[error("exists already")]
    Exists,

    /// Another run, of this program or another thread, is writing the output.
    #[error("another run is writing it")]
    InUse,

    /// The disk is too full for the output. The path is that of the folder.
    #[error("{needed_bytes} bytes are needed and {free_bytes} are free")]
    NoSpace {
        /// Total length of the files to write there.
        needed_bytes: u64,
        /// Free bytes.
        free_bytes: u64,
    },
}
