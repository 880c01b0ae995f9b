//! `qmill tune`: finds the fastest kernels on this machine.

use super::bench::{Formats, Shape};
use super::failure::{Failure, on_one_line};
use super::progress::{Bar, Stop};
use super::show;
use super::words::{self, Words};
use super::{auto, device};
use clap::Args;
use qmill::bench::{Case, Operation, Ranking, Settings, effort, rank};
use qmill::gpu::{DeviceChoice, Precision, Tuning};
use qmill::{Device, Gpu};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The shortest repetition. It is short because many kernels are measured.
const REPETITION_TIME: Duration = Duration::from_millis(20);

/// Measures all kernels of products, and stores the fastest for later commands.
///
/// Kernels are chosen by format, by precision and by the class of a product: 1, 2 to 8, 9 to 64 and more
/// vectors; rows up to 255, up to 2047 and more; columns up to 2047, up to 8191 and more. Each class gets the
/// kernel that is clearly faster than the default, or the default; the largest of several shapes in a class
/// decides. Every result is compared with the CPU reference. The table is for this adapter and driver, and
/// keeps its entries for other formats and classes.
///
/// First it says about how long it will take. The table is written after each product, so what was measured
/// stays. Ctrl-C stops after the present product.
#[derive(Args)]
pub(crate) struct Tune {
    /// The GPU, as for `qmill run`
    #[arg(long, value_name = "gpu|INDEX|NAME", default_value = "gpu")]
    #[arg(value_parser = Words::<DeviceChoice>::of(words::devices), hide_possible_values = true)]
    device: DeviceChoice,
    /// Formats, or all
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "Q4_0,Q8_0,Q4_K,Q6_K")]
    #[arg(value_parser = Words::<Formats>::of(words::formats_or_all), hide_possible_values = true)]
    format: Vec<Formats>,
    /// Shapes of the matrix, rows x columns
    #[arg(
        long,
        value_name = "MxK",
        value_delimiter = ',',
        default_value = "1024x1024,128x4096,1024x4096,4096x4096,128x14336,4096x14336"
    )]
    shape: Vec<Shape>,
    /// Numbers of vectors
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,4,32,128")]
    batch: Vec<usize>,
    /// Number of measured repetitions
    #[arg(short, long, value_name = "N", default_value_t = Settings::default().repetitions)]
    repetitions: usize,
    /// Size of the largest cache, which the weights must exceed
    #[arg(long, value_name = "SIZE", value_parser = show::parse_bytes, default_value = "96M")]
    cache: u64,
    /// File of the table, instead of the one in the user's cache folder that other commands use
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
}

impl Tune {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if self.device == DeviceChoice::Cpu {
            return Err(Failure::Usage("the CPU has no kernels to choose from".to_owned()));
        }
        let Device::Gpu(gpu) = Device::open(&self.device, None)? else {
            return auto::tune();
        };
        let no_folder = || Failure::Usage("there is no folder for caches: name a file by --table".to_owned());
        let path = self.table.clone().or_else(|| device::tuning_file(&gpu)).ok_or_else(no_folder)?;
        let mut tuning = earlier(&path, &gpu);
        let settings = Settings::DEFAULT
            .with_repetitions(self.repetitions)
            .with_repetition_time(REPETITION_TIME)
            .with_cache_bytes(self.cache);
        let products = self.products();
        let stop = Stop::new()?;
        let mut out = io::stdout().lock();
        writeln!(out, "{}", gpu.name())?;
        let effort = effort(&products, &gpu, &settings)?;
        writeln!(
            out,
            "{}, {}: {}; Ctrl-C stops after a product and keeps what was found",
            show::counted(products.len(), "product"),
            show::counted(effort.kernels, "kernel"),
            about(effort.time)
        )?;
        out.flush()?;
        let bar = Bar::new(effort.kernels);
        for (done, (case, precision)) in products.iter().enumerate() {
            if stop.is_set() {
                bar.finish();
                let all = products.len();
                eprintln!("qmill: interrupted after {done} of {all} products; {} keeps them", path.display());
                return Err(Failure::Interrupted);
            }
            bar.tell(&title(case));
            let ranking = rank(case, &gpu, *precision, &settings, &mut || bar.advance(1))?;
            ranking.enter(&mut tuning);
            tuning.save(&path)?;
            bar.suspend(|| write_ranking(&mut out, case, &ranking))?;
        }
        bar.finish();
        tuning.save(&path)?;
        writeln!(out, "\n{}: {} products take others than by default", path.display(), tuning.len())?;
        if gpu.is_software_adapter() {
            auto::tune()?;
        }
        Ok(())
    }

    /// The cases, each with the precisions that it has.
    fn products(&self) -> Vec<(Case, Precision)> {
        let precisions = |case: &Case| {
            let all = &[Precision::Exact, Precision::Int8];
            if case.format.is_float() { &all[..1] } else { &all[..] }
        };
        let cases = self.cases().into_iter();
        cases.flat_map(|case| precisions(&case).iter().map(move |&precision| (case, precision))).collect()
    }

    /// The cases, with the largest last.
    fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for format in self.format.iter().flat_map(|formats| formats.of(Operation::Matvec)) {
            for &Shape { rows, cols } in &self.shape {
                cases.extend(self.batch.iter().map(|&batch| {
                    let is_matvec = batch <= Operation::MAX_VECTORS;
                    let operation = if is_matvec { Operation::Matvec } else { Operation::Matmul };
                    Case { operation, format, rows, cols, batch }
                }));
            }
        }
        cases.sort_by_key(|case| case.rows.saturating_mul(case.cols).saturating_mul(case.batch));
        cases
    }
}

/// `Q4_0, 1024 x 1024, 4 vectors`.
fn title(case: &Case) -> String {
    let Case { format, rows, cols, batch, .. } = case;
    format!("{format}, {rows} x {cols}, {}", show::counted(*batch, "vector"))
}

fn write_ranking(out: &mut impl Write, case: &Case, ranking: &Ranking) -> io::Result<()> {
    writeln!(out, "\n{}", title(case))?;
    for (i, (kernel, seconds)) in ranking.kernels().enumerate() {
        let default = if i == 0 { "  by default" } else { "" };
        writeln!(out, "  {kernel:<36} {:>10.1} µs{default}", seconds * 1e6)?;
    }
    let (best, gain) = ranking.best();
    writeln!(out, "  best: {best}, {gain:.2} times as fast as the default")?;
    out.flush()
}

/// `about 40 seconds`, `about 12 minutes`, `about 3.5 hours`.
fn about(time: Duration) -> String {
    match time.as_secs() {
        0..5 => "a few seconds".to_owned(),
        seconds @ 5..120 => format!("about {} seconds", seconds.next_multiple_of(5)),
        seconds @ 120..7200 => format!("about {} minutes", seconds.div_ceil(60)),
        _ => format!("about {:.1} hours", time.as_secs_f64() / 3600.0),
    }
}

/// The table of an earlier run on this device, if it is still valid.
fn earlier(path: &Path, gpu: &Gpu) -> Tuning {
    if path.exists() {
        match Tuning::load(path).and_then(|tuning| tuning.check(gpu).map(|()| tuning)) {
            Ok(tuning) => return tuning,
            Err(error) => eprintln!("qmill: note: {}; the table begins anew", on_one_line(&error)),
        }
    }
    Tuning::new(gpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_units_of_people() {
        let told = |seconds: f64| about(Duration::from_secs_f64(seconds));
        assert_eq!((told(0.3), told(41.0)), ("a few seconds".to_owned(), "about 45 seconds".to_owned()));
        assert_eq!((told(121.0), told(9000.0)), ("about 3 minutes".to_owned(), "about 2.5 hours".to_owned()));
    }
}
