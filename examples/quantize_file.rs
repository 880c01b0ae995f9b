//! Quantizes a model, with progress and a time limit.
//!
//! `cargo run --example quantize_file -- IN.gguf OUT.gguf [SECONDS]`

use qmill::mix::FileType;
use qmill::stream::{Existing, Progress, Request, Resources};
use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (input, output, patience) = match args.as_slice() {
        [input, output] => (input, output, Duration::MAX),
        [input, output, seconds] => (input, output, Duration::try_from_secs_f64(seconds.parse()?)?),
        _ => return Err("usage: quantize_file IN.gguf OUT.gguf [SECONDS]".into()),
    };

    // Called after every batch of rows that is written. An app would check its cancel button here.
    let mut progress = |progress: &Progress| {
        if progress.elapsed > patience {
            return ControlFlow::Break(());
        }
        if progress.tensor_is_done {
            let percent = 100 * progress.read_bytes / progress.total_read_bytes.max(1);
            println!("{percent:>3} % {}", progress.tensor.to.name());
        }
        ControlFlow::Continue(())
    };
    let request = Request::new(FileType::Q4_K_M);
    let (input, output) = (Path::new(input), Path::new(output));
    match qmill::quantize_file(
        input,
        output,
        &request,
        &Resources::default(),
        Existing::Refuse,
        &mut progress,
    ) {
        Ok(report) => {
            println!("{} bytes, {:.2} bits per weight", report.file_bytes, report.bits_per_weight());
            Ok(())
        }
        Err(qmill::Error::Cancelled) => {
            println!("stopped; nothing is left of the output");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
