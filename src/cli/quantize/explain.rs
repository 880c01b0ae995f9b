//! What was chosen for a size, and why.

use crate::cli::show;
use qmill::Format;
use qmill::fit::{Fitted, FittedTensor};
use serde_json::{Value, json};
use std::fmt::Write;

/// The tensors of one role.
struct Group<'a> {
    role: &'a str,
    tensors: Vec<&'a FittedTensor>,
}

impl Group<'_> {
    fn bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.bytes).sum()
    }

    fn mix_bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.mix_bytes).sum()
    }

    fn loss(&self) -> f64 {
        self.tensors.iter().map(|tensor| tensor.sensitivity * tensor.error).sum()
    }

    fn mix_loss(&self) -> f64 {
        self.tensors.iter().map(|tensor| tensor.sensitivity * tensor.mix_error).sum()
    }

    /// `Q5_K x 13, IQ4_XS x 17`: the most frequent first.
    fn types(&self, format: impl Fn(&FittedTensor) -> Format) -> String {
        let mut counts: Vec<(Format, usize)> = Vec::new();
        for format in self.tensors.iter().map(|tensor| format(tensor)) {
            match counts.iter_mut().find(|(known, _)| *known == format) {
                Some((_, count)) => *count += 1,
                None => counts.push((format, 1)),
            }
        }
        counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        if let [(format, _)] = counts[..] {
            return format.to_string();
        }
        let counts = counts.iter().map(|(format, count)| format!("{format} x {count}"));
        counts.collect::<Vec<_>>().join(", ")
    }
}

/// By role, the largest share of the loss first.
fn groups(fitted: &Fitted) -> Vec<Group<'_>> {
    let mut groups: Vec<Group> = Vec::new();
    for tensor in &fitted.tensors {
        match groups.iter_mut().find(|group| group.role == tensor.role()) {
            Some(group) => group.tensors.push(tensor),
            None => groups.push(Group { role: tensor.role(), tensors: vec![tensor] }),
        }
    }
    groups.sort_by(|a, b| b.loss().total_cmp(&a.loss()));
    groups
}

/// `-31 %`.
fn change(from: f64, to: f64) -> String {
    // Adding 0 turns a -0 into one without a sign.
    if from > 0.0 { format!("{:+.0} %", (100.0 * (to / from - 1.0)).round() + 0.0) } else { "-".to_owned() }
}

/// A table by role, if `all` is asked for, and what follows from it.
pub(super) fn text(fitted: &Fitted, all: bool) -> String {
    let mut text = String::new();
    // A String takes everything.
    let _ = write_text(fitted, all, &mut text);
    text
}

fn write_text(fitted: &Fitted, all: bool, out: &mut String) -> std::fmt::Result {
    if all {
        let rows: Vec<[String; 7]> = groups(fitted)
            .iter()
            .map(|group| {
                [
                    show::escaped(group.role),
                    group.tensors.len().to_string(),
                    group.types(|tensor| tensor.format),
                    show::bytes(group.bytes()),
                    change(group.mix_bytes() as f64, group.bytes() as f64),
                    format!("{:.1} %", 100.0 * group.loss() / fitted.loss.max(f64::MIN_POSITIVE)),
                    change(group.mix_loss(), group.loss()),
                ]
            })
            .collect();
        let heads = ["role", "tensors", "types", "size", "change", "of the loss", "change"];
        let width = |column: usize| show::width(rows.iter().map(|row| &row[column])).max(heads[column].len());
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        let [role, tensors, types, size, size_change, loss, loss_change] = widths[..] else { return Ok(()) };
        for row in std::iter::once(&heads.map(str::to_owned)).chain(&rows) {
            writeln!(
                out,
                "{:role$}  {:>tensors$}  {:types$}  {:>size$}  {:>size_change$}  {:>loss$}  {:>loss_change$}",
                row[0], row[1], row[2], row[3], row[4], row[5], row[6]
            )?;
        }
    }
    for (format, tensors) in lattices(fitted) {
        let counted = show::counted(tensors, "tensor");
        writeln!(out, "{counted} on the lattice of {format}: made from it, or trained for it")?;
    }
    let (bytes, most) = (fitted.plan.file_bytes(), fitted.max_bytes);
    writeln!(
        out,
        "{} of {} bytes ({} left); expected loss {} against {} ({} bytes)",
        bytes,
        most,
        most.saturating_sub(bytes),
        change(fitted.mix_loss, fitted.loss),
        fitted.mix,
        fitted.mix_bytes
    )?;
    if let Some((active, mix_active)) = fitted.active_bytes {
        let (shown, changed) = (show::bytes(active), change(mix_active as f64, active as f64));
        writeln!(out, "{shown} read for each token, {changed} against {}", fitted.mix)?;
    }
    Ok(())
}

/// Formats on whose lattice tensors lie, with their number.
fn lattices(fitted: &Fitted) -> Vec<(Format, usize)> {
    let mut counts: Vec<(Format, usize)> = Vec::new();
    for format in fitted.tensors.iter().filter_map(|tensor| tensor.lattice) {
        match counts.iter_mut().find(|(known, _)| *known == format) {
            Some((_, count)) => *count += 1,
            None => counts.push((format, 1)),
        }
    }
    counts
}

pub(super) fn json(fitted: &Fitted) -> Value {
    let tensors = fitted.tensors.iter().map(|tensor| {
        json!({
            "name": tensor.name,
            "role": tensor.role(),
            "format": tensor.format.name(),
            "mix_format": tensor.mix_format.name(),
            "bytes": tensor.bytes,
            "error": tensor.error,
            "mix_error": tensor.mix_error,
            "sensitivity": tensor.sensitivity,
            "pinned": tensor.is_pinned,
            "lattice": tensor.lattice.map(Format::name),
        })
    });
    json!({
        "mix": fitted.mix.name(),
        "mix_bytes": fitted.mix_bytes,
        "max_bytes": fitted.max_bytes,
        "loss": fitted.loss,
        "mix_loss": fitted.mix_loss,
        "active_bytes": fitted.active_bytes.map(|(active, _)| active),
        "mix_active_bytes": fitted.active_bytes.map(|(_, mix)| mix),
        "tensors": tensors.collect::<Vec<_>>(),
    })
}
