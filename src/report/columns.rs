//! The tables of a report, as cells: the same on a terminal, in Markdown and in HTML.

use super::best::best;
use super::data::{Estimate, Report, Row};
use crate::eval::divergence_ratio;

/// A table. Its first column is text, and so are those whose heading is in `TEXT`; the others are numbers.
pub(super) struct Table {
    pub(super) caption: String,
    pub(super) headings: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

/// The headings of columns that hold text.
const TEXT: [&str; 17] = [
    "type",
    "compared with",
    "best for",
    "tensor",
    "formats",
    "machine",
    "device",
    "driver",
    "OS",
    "CPU",
    "commit",
    "file",
    "format",
    "shape",
    "variant",
    "model",
    "test",
];
/// Where there is no figure.
pub(super) const NONE: &str = "–";

impl Table {
    /// Whether a column holds text.
    pub(super) fn is_text(&self, column: usize) -> bool {
        TEXT.contains(&self.headings[column].as_str())
    }
}

/// `98.9 MiB`, or in GiB from 4 GiB on.
pub(super) fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib >= 4096.0 { format!("{:.2} GiB", mib / 1024.0) } else { format!("{mib:.1} MiB") }
}

/// A value and its error, with two digits of the error; without an error, three of the value.
fn estimate(Estimate { value, error }: Estimate) -> String {
    match error.filter(|error| *error > 0.0) {
        Some(error) => {
            let digits = digits(error, 2);
            format!("{value:.digits$} ± {error:.digits$}")
        }
        None => number(value),
    }
}

/// Three digits of a number, and no fewer than one behind the point.
fn number(value: f64) -> String {
    let digits = digits(value, 3).max(1);
    format!("{value:.digits$}")
}

/// Digits behind the point, for so many of a number in all.
fn digits(number: f64, of: i32) -> usize {
    let magnitude =
        if number == 0.0 || !number.is_finite() { 0 } else { number.abs().log10().floor() as i32 };
    (of - 1 - magnitude).clamp(0, 9) as usize
}

/// A figure, or [`NONE`].
pub(super) fn or_none<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| NONE.to_owned(), show)
}

/// A perplexity with three digits behind the point: those of types differ by less than their errors, because
/// the errors are of one text.
fn perplexity(Estimate { value, error }: Estimate) -> String {
    error.map_or_else(|| format!("{value:.3}"), |error| format!("{value:.3} ± {error:.3}"))
}

/// Tokens a second, with one digit behind the point.
pub(super) fn rate(Estimate { value, error }: Estimate) -> String {
    error.map_or_else(|| format!("{value:.1}"), |error| format!("{value:.1} ± {error:.1}"))
}

/// Size and quality.
pub(super) fn quality_table(report: &Report) -> Table {
    let headings = [
        "type",
        "size",
        "bits",
        "SQNR dB",
        "perplexity",
        "KLD mean",
        "median",
        "99 %",
        "largest",
        "same top %",
    ];
    let rows = report.rows.iter().map(|row| {
        let divergence = row.quality.divergence.as_ref();
        vec![
            row.name.clone(),
            size(row.file_bytes),
            format!("{:.2}", row.bits_per_weight),
            or_none(row.error.as_ref(), |error| {
                error.sqnr_db.map_or_else(|| "∞".to_owned(), |sqnr| format!("{sqnr:.2}"))
            }),
            perplexity(row.quality.perplexity),
            or_none(divergence, |divergence| estimate(divergence.mean)),
            or_none(divergence, |divergence| number(divergence.median)),
            or_none(divergence, |divergence| number(divergence.percentile_99)),
            or_none(divergence, |divergence| number(divergence.largest)),
            or_none(divergence, |divergence| {
                let Estimate { value, error } = divergence.same_top;
                estimate(Estimate { value: 100.0 * value, error: error.map(|error| 100.0 * error) })
            }),
        ]
    });
    Table {
        caption: "Size and quality".to_owned(),
        headings: headings.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}

/// Perplexity and divergence against the base and against another type, on the same chunks.
pub(super) fn paired_table(report: &Report) -> Table {
    let headings = ["type", "ln of perplexity / base's", "compared with", "ratio of KLD"];
    let rows = report.types().enumerate().map(|(number, row)| {
        let other = rival(report, row, number);
        let means = |row: &Row| row.quality.divergence.as_ref().map(|known| known.chunk_means.clone());
        let ratio = other.and_then(|other| Some(divergence_ratio(&means(row)?, &means(other)?)));
        vec![
            row.name.clone(),
            or_none(row.quality.divergence.as_ref(), |divergence| estimate(divergence.log_ratio)),
            or_none(other, |other| other.name.clone()),
            or_none(ratio.filter(|ratio| ratio.value.is_finite()), |ratio| estimate(ratio.into())),
        ]
    });
    Table {
        caption: "Paired differences".to_owned(),
        headings: headings.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}

/// The type that a row is compared with: the fixed mix whose size it has, or else the type above it.
fn rival<'a>(report: &'a Report, row: &Row, number: usize) -> Option<&'a Row> {
    let mix = row.name.strip_prefix("like:").and_then(|mix| report.types().find(|row| row.name == mix));
    mix.or_else(|| report.types().nth(number.checked_sub(1)?))
}

/// Memory, speed and what a type is best for.
pub(super) fn speed_table(report: &Report) -> Table {
    let devices = report.devices();
    let mut headings = vec!["type".to_owned()];
    for device in &devices {
        let on = report.letter(device).map_or_else(String::new, |letter| format!("{letter}: "));
        let names = ["weights", "KV cache", "prompt t/s", "generation t/s"];
        headings.extend(names.map(|name| format!("{on}{name}")));
    }
    headings.push("best for".to_owned());
    let rules = best(report);
    let rows = report.rows.iter().enumerate().map(|(index, row)| {
        let mut cells = vec![row.name.clone()];
        for device in &devices {
            let speed = row.speed(device);
            cells.push(or_none(speed, |speed| size(speed.weight_bytes)));
            cells.push(or_none(speed, |speed| size(speed.cache_bytes)));
            cells.push(or_none(speed.and_then(|speed| speed.prompt), rate));
            cells.push(or_none(speed.and_then(|speed| speed.generation), rate));
        }
        let words = rules.iter().filter(|rule| rule.row == Some(index)).map(|rule| rule.word.as_str());
        cells.push(words.collect::<Vec<_>>().join(", "));
        cells
    });
    let caption = match devices.as_slice() {
        [only] => format!("Speed and memory on {only}"),
        several => {
            let letter = |device: &&str| format!("{} is {device}", report.letter(device).unwrap_or_default());
            format!("Speed and memory; {}", several.iter().map(letter).collect::<Vec<_>>().join(", "))
        }
    };
    Table { caption, headings, rows: rows.collect() }
}

/// What was measured: sentences.
pub(super) fn summary(report: &Report) -> Vec<String> {
    let Report { base, text, cases, .. } = report;
    let mut lines = vec![
        format!(
            "Base: {} ({}), {} weights{}.",
            base.file,
            base.model,
            base.weights,
            if base.is_quantized {
                ", quantized already, so the errors of the types add to its own"
            } else {
                ""
            }
        ),
        format!(
            "Text: {}, {} in {} chunks of {}; the second half of each is predicted, {} tokens in all, on {} \
             ({}).",
            text.name,
            text.tokens,
            text.chunks,
            text.chunk_tokens,
            text.predicted,
            text.device,
            text.precision
        ),
    ];
    if let Some(cases) = cases {
        lines.push(format!(
            "Speed: a prompt of {} tokens, and {} generated tokens, {} times each, as `qmill bench` \
             measures; the KV cache is that of {} tokens.",
            cases.prompt, cases.generated, cases.repetitions, report.cache_tokens
        ));
    }
    lines
}

/// The meaning of the columns: sentences.
pub(super) fn notes(report: &Report) -> Vec<String> {
    let mut notes: Vec<String> = best(report)
        .into_iter()
        .map(|rule| match rule.row {
            Some(row) => format!("{}: {}.", rule.sentence, report.rows[row].name),
            None => format!("{}: no type.", rule.sentence),
        })
        .collect();
    notes.extend([
        "± is one standard error: of perplexity over positions, of the mean KLD over chunks, of rates one \
         standard deviation over repetitions."
            .to_owned(),
        "KLD is Σ p·ln(p/q) in nats, with p of the base and q of the type; same top is the share of \
         positions with the same most likely token; SQNR is 10·log10(Σa²/Σ(a-b)²) over all weights."
            .to_owned(),
    ]);
    notes
}
