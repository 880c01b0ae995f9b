//! Reports of several machines as one.

use super::data::{Report, Row};
use crate::error::ComparisonFault;
use crate::{Error, Result};
use std::path::PathBuf;

/// Joins reports of the same base and text, each with the name of its file: a row for each type that is in
/// any, with the speeds of all.
///
/// Quality is that of the first report that has the type. Two reports may name different devices alike;
/// then the later one gets its file's name too. Fails with [`ComparisonFault::OtherReport`] if base,
/// text, way of measuring, or the size of a type differ, and with [`Error::Number`] for no reports.
pub fn merge(reports: &[(PathBuf, Report)]) -> Result<Report> {
    let Some(((first_path, first), others)) = reports.split_first() else {
        return Err(Error::Number {
            what: "the number of reports",
            needed: "at least 1".to_owned(),
            found: 0,
        });
    };
    let mut merged = first.clone();
    for (path, report) in others {
        let differ = |what: String, here: String, there: String| {
            let (first, other) = (first_path.clone(), path.clone());
            Err(Error::Comparison(ComparisonFault::OtherReport { first, other, what, here, there }))
        };
        for (what, here, there) in common(first).into_iter().zip(common(report)).map(|(a, b)| (a.0, a.1, b.1))
        {
            if here != there {
                return differ(what.to_owned(), here, there);
            }
        }
        let taken: Vec<String> = merged.devices().into_iter().map(str::to_owned).collect();
        for row in &report.rows {
            let mut row = row.clone();
            for speed in &mut row.speeds {
                if taken.contains(&speed.device) {
                    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
                    speed.device = format!("{} in {name}", speed.device);
                }
            }
            let known =
                merged.rows.iter_mut().find(|known| (&known.name, known.is_base) == (&row.name, row.is_base));
            match known {
                None => merged.rows.push(row),
                Some(Row { file_bytes, .. }) if *file_bytes != row.file_bytes => {
                    let what = format!("the size of {}", row.name);
                    return differ(what, file_bytes.to_string(), row.file_bytes.to_string());
                }
                Some(known) => known.speeds.append(&mut row.speeds),
            }
        }
    }
    // The largest first, as types are listed; the base stays at the top.
    merged.rows.sort_by_key(|row| (!row.is_base, std::cmp::Reverse(row.file_bytes)));
    Ok(merged)
}

/// What reports must have in common.
fn common(report: &Report) -> [(&'static str, String); 7] {
    let Report { base, text, cases, cache_tokens, .. } = report;
    [
        ("the base", base.model.clone()),
        ("the text", text.tokens.clone()),
        ("the length of a chunk", text.chunk_tokens.to_string()),
        ("the number of chunks", text.chunks.to_string()),
        ("the first token of a chunk", text.bos.map_or("the text's".to_owned(), |bos| bos.to_string())),
        ("the way of measuring speed", cases.map_or("none".to_owned(), |cases| format!("{cases:?}"))),
        ("the length of the KV cache", cache_tokens.to_string()),
    ]
}
