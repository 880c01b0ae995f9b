//! The output of `qmill quantize`: a progress bar on a terminal, otherwise a line per tensor, or JSON.

use crate::cli::failure::Failure;
use crate::cli::show;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use qmill::Device;
use qmill::stream::{self, Alternative, Fallback, Plan, PlannedTensor, Progress, Report};
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Reports progress to the user, and stops on a signal.
pub(super) struct Reporter {
    json: bool,
    bar: Option<ProgressBar>,
    interrupted: Arc<AtomicBool>,
    /// The standard output, or the standard error if the model is written to the standard output.
    lines: Box<dyn Write>,
    lines_error: Option<io::Error>,
    /// The output files.
    outputs: Vec<PathBuf>,
    /// What was chosen for a size, as text and as JSON.
    fitted: Option<(String, Value)>,
    /// The device that `auto` took, and why.
    chosen: Option<(String, String)>,
}

impl Reporter {
    pub(super) fn new(
        json: bool,
        plan: &Plan,
        output: &Path,
        fitted: Option<(String, Value)>,
    ) -> Result<Self, Failure> {
        for note in &plan.notes {
            eprintln!("qmill: note: {note}");
        }
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // A second signal, while the first waits for the end of a batch, ends the program immediately.
            let shutdown = signal_hook::flag::register_conditional_shutdown(signal, 130, interrupted.clone());
            shutdown.map_err(Failure::Signals)?;
            signal_hook::flag::register(signal, interrupted.clone()).map_err(Failure::Signals)?;
        }
        // Beyond the limit on file sizes the signal would end the program. If it is handled, the write fails.
        #[cfg(unix)]
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false)))
            .map_err(Failure::Signals)?;

        let total: u64 = plan.tensors().map(|tensor| tensor.from.bytes()).sum();
        let bar = (!json && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let style =
                "{wide_msg} {binary_bytes}/{binary_total_bytes} {bar:24} {binary_bytes_per_sec} {eta}";
            bar.with_style(ProgressStyle::with_template(style).expect("the template is constant"))
        });
        let lines: Box<dyn Write> =
            if stream::is_stdout(output) { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
        let outputs = plan.output_paths(output);
        Ok(Self { json, bar, interrupted, lines, lines_error: None, outputs, fitted, chosen: None })
    }

    /// Prints what the plan would do.
    pub(super) fn dry_run(mut self, plan: &Plan) -> Result<(), Failure> {
        let out = &mut self.lines;
        let report = Report::new(plan, std::time::Duration::ZERO);
        if self.json {
            let tensors: Vec<Value> = plan.tensors().map(tensor_json).collect();
            let mut object = json!({ "tensors": tensors });
            merge(&mut object, outputs_json(&self.outputs));
            merge(&mut object, report_json(&report, false));
            merge(&mut object, fitted_json(self.fitted.as_ref()));
            writeln!(out, "{object}")?;
        } else {
            for (index, tensor) in plan.tensors().enumerate() {
                writeln!(out, "{}", tensor_line(index, plan.tensors().count(), tensor))?;
            }
            write!(out, "{}", fitted_text(self.fitted.as_ref()))?;
            write_report(out, &report, &self.outputs, false)?;
        }
        Ok(())
    }

    /// Remembers why `auto` took this device.
    pub(super) fn explain_device(&mut self, device: &Device, reason: Option<String>) {
        self.chosen = reason.map(|reason| (device.to_string(), reason));
    }

    /// Called after every batch of rows.
    pub(super) fn report(&mut self, progress: &Progress) -> ControlFlow<()> {
        if let Some(bar) = &self.bar {
            bar.set_message(progress.tensor.to.name().to_owned());
            bar.set_position(progress.read_bytes);
        } else if progress.tensor_is_done && self.lines_error.is_none() {
            // The run continues although its progress cannot be printed.
            self.lines_error = self.write_tensor(progress).err();
        }
        if self.interrupted.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn write_tensor(&mut self, progress: &Progress) -> io::Result<()> {
        let out = &mut self.lines;
        if self.json {
            let mut object = tensor_json(progress.tensor);
            let so_far = json!({
                "tensor_index": progress.tensor_index,
                "tensor_count": progress.tensor_count,
                "read_bytes": progress.read_bytes,
                "total_read_bytes": progress.total_read_bytes,
                "seconds": progress.elapsed.as_secs_f64(),
            });
            merge(&mut object, so_far);
            writeln!(out, "{object}")
        } else {
            writeln!(out, "{}", tensor_line(progress.tensor_index, progress.tensor_count, progress.tensor))
        }
    }

    /// Called with the result of the run.
    pub(super) fn finish(mut self, report: qmill::Result<Report>) -> Result<(), Failure> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let report = report?;
        if let Some(reason) = &report.given_up {
            eprintln!("qmill: note: {reason}; the CPU did the rest, with the same bytes");
        }
        if let Some(error) = self.lines_error {
            return Err(error.into());
        }
        // Not if another device took over.
        let reason = self.chosen.filter(|(device, _)| *device == report.device).map(|(_, reason)| reason);
        let out = &mut self.lines;
        if self.json {
            let mut object = outputs_json(&self.outputs);
            merge(&mut object, report_json(&report, true));
            merge(&mut object, json!({ "device_reason": reason }));
            merge(&mut object, fitted_json(self.fitted.as_ref()));
            writeln!(out, "{object}")?;
        } else {
            write!(out, "{}", fitted_text(self.fitted.as_ref()))?;
            if let Some(reason) = reason {
                writeln!(out, "device: {}, {reason}", report.device)?;
            }
            write_report(out, &report, &self.outputs, true)?;
        }
        Ok(())
    }
}

fn tensor_line(index: usize, count: usize, tensor: &PlannedTensor) -> String {
    let (from, to) = (tensor.from.tensor_type(), tensor.to.tensor_type());
    let change = if tensor.is_copied() { from.to_string() } else { format!("{from} -> {to}") };
    let what = match tensor.fallback() {
        None => change,
        Some(Fallback { row_len, block_weights, meant, .. }) => {
            format!("{change} and not {meant} ({row_len} columns are no multiple of {block_weights})")
        }
    };
    let name = tensor.to.name();
    let (shape, bytes) = (show::shape(tensor.to.shape()), show::bytes(tensor.to.bytes()));
    format!("[{:>4}/{count}] {name:<36} {shape:>18}  {what}, {bytes}", index + 1)
}

fn tensor_json(tensor: &PlannedTensor) -> Value {
    let mut object = json!({
        "name": tensor.to.name(),
        "shape": tensor.to.shape(),
        "from": tensor.from.tensor_type().name(),
        "to": tensor.to.tensor_type().name(),
        "bytes": tensor.to.bytes(),
    });
    if let Some(meant) = tensor.fallback_from {
        object["fallback_from"] = json!(meant.name());
    }
    object
}

/// The first output, and all of them.
fn outputs_json(outputs: &[PathBuf]) -> Value {
    let names: Vec<_> = outputs.iter().map(|path| path.to_string_lossy()).collect();
    json!({ "output": names.first(), "outputs": names })
}

fn report_json(report: &Report, timed: bool) -> Value {
    let formats = report.formats.iter().map(|total| {
        json!({
            "format": total.tensor_type.name(),
            "tensors": total.tensors,
            "weights": total.weights,
            "bytes": total.bytes,
        })
    });
    let fallback_kinds = report.fallback_kinds.iter().map(|fallback| {
        json!({
            "columns": fallback.row_len,
            "block_weights": fallback.block_weights,
            "meant": fallback.meant.name(),
            "became": fallback.became.name(),
            "tensors": fallback.tensors,
        })
    });
    let alternative = report.alternative.map(|alternative| {
        json!({
            "file_type": alternative.file_type.name(),
            "bits_per_weight": alternative.bits_per_weight,
        })
    });
    let mut object = json!({
        "converted": report.converted,
        "weights": report.weights,
        "source_bytes": report.read_bytes,
        "tensor_bytes": report.written_bytes,
        "file_bytes": report.file_bytes,
        "bits_per_weight": report.bits_per_weight(),
        "fallbacks": report.fallbacks,
        "fallback_kinds": fallback_kinds.collect::<Vec<_>>(),
        "alternative": alternative,
        "formats": formats.collect::<Vec<_>>(),
    });
    if timed {
        object["device"] = json!(report.device);
        object["given_up"] = json!(report.given_up);
        object["redone_weights"] = json!(report.redone_weights);
        object["verified_weights"] = json!(report.verified_weights);
        object["seconds"] = json!(report.elapsed.as_secs_f64());
    }
    object
}

fn fitted_text(fitted: Option<&(String, Value)>) -> &str {
    fitted.map_or("", |(text, _)| text)
}

fn fitted_json(fitted: Option<&(String, Value)>) -> Value {
    fitted.map_or(json!({}), |(_, value)| json!({ "fit": value }))
}

fn merge(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}

fn write_report(out: &mut dyn Write, report: &Report, outputs: &[PathBuf], is_done: bool) -> io::Result<()> {
    for total in &report.formats {
        let (weights, bytes) = (show::count(total.weights), show::bytes(total.bytes));
        writeln!(
            out,
            "{:>8} {:>5} tensors {weights:>8} weights {bytes:>10}",
            total.tensor_type, total.tensors
        )?;
    }
    for line in fallback_lines(report) {
        writeln!(out, "{line}")?;
    }
    let (from, to) = (show::bytes(report.read_bytes), show::bytes(report.file_bytes));
    write!(out, "{from} -> {to}, {:.4} bits per weight", report.bits_per_weight())?;
    if is_done {
        let seconds = report.elapsed.as_secs_f64();
        let rate = report.read_bytes as f64 / 1e6 / seconds.max(1e-9);
        write!(out, ", {seconds:.2} s, {rate:.0} MB/s on {}", report.device)?;
    } else {
        write!(out, ", not written")?;
    }
    match outputs {
        [] => writeln!(out)?,
        [only] => writeln!(out, ": {}", only.display())?,
        [first, .., last] => {
            writeln!(out, ": {} files, {} to {}", outputs.len(), first.display(), last.display())?;
        }
    }
    if report.verified_weights > 0 {
        writeln!(
            out,
            "{} weights checked against the CPU: the same bytes",
            show::count(report.verified_weights)
        )?;
    }
    Ok(())
}

/// The replacements of formats whose blocks do not divide the rows: a line for each row length.
fn fallback_lines(report: &Report) -> Vec<String> {
    let mut lines: Vec<((u64, u64), String)> = Vec::new();
    for fallback in &report.fallback_kinds {
        let Fallback { row_len, block_weights, meant, became, tensors, .. } = *fallback;
        let what = format!("{meant} becomes {became} in {}", show::counted(tensors, "tensor"));
        let key = (row_len, block_weights);
        match lines.iter_mut().find(|(known, _)| *known == key) {
            Some((_, line)) => *line = format!("{line}, {what}"),
            None => {
                lines.push((key, format!("{row_len} columns are no multiple of {block_weights}: {what}")));
            }
        }
    }
    let mut lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
    if let Some(last) = lines.last_mut() {
        *last = format!("{last} ({:.2} bits per weight in all)", report.bits_per_weight());
        if let Some(Alternative { file_type, bits_per_weight, .. }) = report.alternative {
            *last = format!("{last}; {file_type} would give {bits_per_weight:.2}");
        }
    }
    lines
}
