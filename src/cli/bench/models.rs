//! Measures models, with the conventions of llama-bench.

use super::common::{Common, nothing};
use super::earlier::{Earlier, Keys};
use super::numbers::{Pair, Range, numbers};
use super::output::{Column, Output, Table};
use super::record::{Machine, Record, iso_time, object, text, with_digits};
use crate::cli::auto::{self, Job};
use crate::cli::failure::Failure;
use crate::cli::words::{self, Words};
use crate::cli::{inspect, model, show};
use clap::{Args, ValueEnum};
use qmill::bench::{ModelCase, ModelSettings, ModelTest, ModelTiming, Stage, measure_models_in_turns};
use qmill::gpu::Precision;
use qmill::llm::{LoadOptions, Model};
use qmill::mix::FileType;
use qmill::stream::{Plan, Request};
use qmill::{Device, Format, gguf};
use serde_json::json;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

#[derive(Args)]
#[group(requires = "model")]
#[command(next_help_heading = "Models")]
pub(super) struct Models {
    /// Prompt lengths in tokens, or ranges: 1-8, 1-8+2, 1-8*2; 0 skips the test
    #[arg(short = 'p', long, value_name = "LIST", value_delimiter = ',', default_value = "512")]
    n_prompt: Vec<Range>,
    /// Numbers of tokens to generate; 0 skips the test
    #[arg(short = 'n', long, value_name = "LIST", value_delimiter = ',', default_value = "128")]
    n_gen: Vec<Range>,
    /// Also measure a prompt and its answer together [short: -pg]
    #[arg(long, value_name = "PP,TG")]
    pg: Vec<Pair>,
    /// Tokens in the context before each test, not measured
    #[arg(short = 'd', long, value_name = "LIST", value_delimiter = ',', default_value = "0")]
    n_depth: Vec<Range>,
    /// Tokens of a prompt per call; logits are computed after each call
    #[arg(short, long, value_name = "LIST", value_delimiter = ',', default_value = "2048")]
    batch_size: Vec<Range>,
    /// Tokens that the model computes together, within a call [short: -ub]
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "512")]
    ubatch_size: Vec<Range>,
    /// Types of the keys in the KV cache [short: -ctk]
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "f16")]
    cache_type_k: Vec<CacheType>,
    /// Types of the values in the KV cache, combined with each type of keys [short: -ctv] [default: as the
    /// keys]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    cache_type_v: Vec<CacheType>,
    /// Activations in products: rounded to eight bits, or exact, which on the CPU is the reference
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "int8")]
    precision: Vec<ModelPrecision>,
    /// Quantize while loading, as `qmill quantize` does; COPY keeps the file's formats
    #[arg(long, value_name = "LIST", value_delimiter = ',', hide_possible_values = true)]
    #[arg(value_parser = Words::<FileType>::of(words::file_types))]
    quantize: Vec<FileType>,
    /// Seconds to wait before each repetition
    #[arg(long, value_name = "N", default_value_t = 0)]
    delay: u64,
    /// Print the progress to the standard error
    #[arg(long)]
    progress: bool,
    /// Take kernels that do several steps of a single token at once
    #[arg(long, hide = true)]
    fuse: bool,
    /// Do not run each test once before measuring; the first run then includes compilation
    #[arg(long)]
    no_warmup: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CacheType {
    F16,
    F32,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModelPrecision {
    Int8,
    Exact,
}

pub(super) const KEYS: Keys = Keys {
    same: &[
        "model_filename",
        "model_type",
        "n_prompt",
        "n_gen",
        "n_depth",
        "n_batch",
        "n_ubatch",
        "type_k",
        "type_v",
        "precision",
    ],
    time: "avg_ns",
};

/// One combination of options.
#[derive(Clone)]
struct Test {
    case: ModelCase,
    options: LoadOptions,
    /// Tokens per call.
    batch: usize,
}

impl Models {
    pub(super) fn run(&self, paths: &[PathBuf], common: &Common) -> Result<(), Failure> {
        if self.counts().is_empty() {
            return Err(nothing());
        }
        let caches = self.caches();
        let earlier = common.compare.as_deref().map(|path| Earlier::read(path, &KEYS)).transpose()?;
        // Open all files before measuring, so that a missing file is reported immediately.
        let files = paths.iter().map(gguf::Model::open).collect::<Result<Vec<_>, _>>()?;
        let types: Vec<_> = match &self.quantize[..] {
            [] => vec![None],
            types => types.iter().copied().map(Some).collect(),
        };
        let table = Table { name: "qmill_bench_models", columns: self.columns(common) };
        let mut output = Output::new(common.output, table, io::stdout().lock());
        for choice in &common.device {
            let device = auto::open_with_note(choice, self.job())?;
            let machine = Machine::of(&device);
            let threads: Vec<_> =
                common.thread_counts().into_iter().flatten().map(|count| count.to_string()).collect();
            output.begin(&machine.title(&threads.join(",")))?;
            let tests = self.tests(&device, &caches, &common.thread_counts());
            let groups = taking_turns(&tests);
            let mut number = 0;
            let sources = paths
                .iter()
                .zip(&files)
                .flat_map(|(path, file)| types.iter().map(move |&to| (path, file, to)));
            for (path, file, quantize) in sources {
                let description = describe(path, file, quantize)?;
                let options = LoadOptions::default().with_device(device.clone()).with_quantize(quantize);
                let model = Model::from_gguf(file, &options)?.with_fused_kernels(self.fuse);
                for tests in &groups {
                    let count =
                        groups.iter().map(|group| group.len()).sum::<usize>() * types.len() * files.len();
                    let timings = self.measure(tests, &model, common.repetitions, (number, count))?;
                    number += tests.len();
                    for (test, timing) in tests.iter().zip(&timings) {
                        let mut record = machine.values.clone();
                        record.extend(description.clone());
                        record.extend(test.record(timing));
                        if let Some(earlier) = &earlier {
                            earlier.add_ratios(&mut record);
                        }
                        output.write(&record)?;
                    }
                }
            }
            model::store_pipelines(&device);
        }
        Ok(output.end()?)
    }

    /// Measures tests in turns. `number` counts those before, of `count` in all.
    fn measure(
        &self,
        tests: &[Test],
        model: &Model,
        repetitions: usize,
        (number, count): (usize, usize),
    ) -> Result<Vec<ModelTiming>, Failure> {
        let models = tests.iter().map(|test| model.with_sessions(&test.options));
        let models = models.collect::<Result<Vec<_>, _>>()?;
        let tests_of_models = tests.iter().zip(&models).map(|(test, model)| {
            let settings = ModelSettings::default()
                .with_repetitions(repetitions)
                .with_batch(test.batch)
                .with_warm_up(!self.no_warmup);
            ModelTest { case: test.case, model, settings }
        });
        let mut tell = |i: usize, stage| {
            let doing = match stage {
                Stage::Depth => "filling the context".to_owned(),
                Stage::WarmUp => "warm-up".to_owned(),
                Stage::Repetition(number) => {
                    thread::sleep(Duration::from_secs(self.delay));
                    format!("repetition {number} of {repetitions}")
                }
            };
            if self.progress {
                eprintln!("qmill: {} of {count}: {}: {doing}", number + i + 1, tests[i].case);
            }
        };
        Ok(measure_models_in_turns(&tests_of_models.collect::<Vec<_>>(), &mut tell)?)
    }

    /// What `auto` chooses a device for.
    fn job(&self) -> Job {
        let is_int8 = self.precision.iter().any(|precision| matches!(precision, ModelPrecision::Int8));
        Job::Multiply(if is_int8 { Precision::Int8 } else { Precision::Exact })
    }

    /// The lengths of prompts and answers, in llama-bench's order.
    fn counts(&self) -> Vec<(usize, usize)> {
        let prompts = numbers(&self.n_prompt).into_iter().map(|prompt| (prompt, 0));
        let generated = numbers(&self.n_gen).into_iter().map(|generated| (0, generated));
        let pairs = self.pg.iter().map(|&Pair(prompt, generated)| (prompt, generated));
        prompts.chain(generated).chain(pairs).filter(|&counts| counts != (0, 0)).collect()
    }

    /// The formats of keys and values.
    fn caches(&self) -> Vec<(Format, Format)> {
        let format = |cache: CacheType| match cache {
            CacheType::F16 => Format::F16,
            CacheType::F32 => Format::F32,
        };
        let values = |key| if self.cache_type_v.is_empty() { vec![key] } else { self.cache_type_v.clone() };
        let pairs =
            self.cache_type_k.iter().flat_map(|&key| values(key).into_iter().map(move |value| (key, value)));
        pairs.map(|(key, value)| (format(key), format(value))).collect()
    }

    /// All combinations for a device, in llama-bench's order.
    fn tests(
        &self,
        device: &Device,
        caches: &[(Format, Format)],
        thread_counts: &[Option<usize>],
    ) -> Vec<Test> {
        let is_cpu = matches!(device, Device::Cpu);
        // A GPU has no threads.
        let precisions = &self.precision;
        let threads = if is_cpu { thread_counts } else { &[None] };
        let case = ModelCase { prompt: 0, generated: 0, depth: 0 };
        let tests = vec![Test { case, options: LoadOptions::default(), batch: 0 }];
        let tests = with_each(&tests, precisions, |test, &precision| {
            test.options.precision = match precision {
                ModelPrecision::Int8 => Precision::Int8,
                ModelPrecision::Exact => Precision::Exact,
            };
        });
        let tests = with_each(&tests, &numbers(&self.batch_size), |test, &batch| test.batch = batch);
        let tests = with_each(&tests, &numbers(&self.ubatch_size), |test, &batch| test.options.batch = batch);
        let tests = with_each(&tests, caches, |test, &(keys, values)| {
            test.options.cache_keys = keys;
            test.options.cache_values = values;
        });
        let tests = with_each(&tests, threads, |test, &threads| test.options.threads = threads);
        let tests = with_each(&tests, &numbers(&self.n_depth), |test, &depth| test.case.depth = depth);
        with_each(&tests, &self.counts(), |test, &(prompt, generated)| {
            test.case = ModelCase { prompt, generated, ..test.case };
            test.options.context = Some(test.case.context());
        })
    }

    /// As in llama-bench: the columns of options that differ from the default.
    fn columns(&self, common: &Common) -> Vec<Column> {
        let is_not = |list: &[Range], default: usize| numbers(list) != [default];
        let caches_differ = self.caches() != [(Format::F16, Format::F16)];
        let all = [
            (true, Column::left("model", 30, |record| text(&record["model_type"]))),
            (true, Column::new("size", 10, |record| show::bytes(record["model_size"].as_u64().unwrap_or(0)))),
            (
                true,
                Column::new("params", 10, |record| {
                    show::count(record["model_n_params"].as_u64().unwrap_or(0))
                }),
            ),
            (true, Column::left("backend", 10, |record| text(&record["backends"]))),
            (
                self.precision != [ModelPrecision::Int8],
                Column::new("precision", 9, |record| text(&record["precision"])),
            ),
            (!common.threads.is_empty(), Column::new("threads", 7, |record| text(&record["n_threads"]))),
            (is_not(&self.batch_size, 2048), Column::new("n_batch", 7, |record| text(&record["n_batch"]))),
            (is_not(&self.ubatch_size, 512), Column::new("n_ubatch", 8, |record| text(&record["n_ubatch"]))),
            (caches_differ, Column::new("type_k", 6, |record| text(&record["type_k"]))),
            (caches_differ, Column::new("type_v", 6, |record| text(&record["type_v"]))),
            (true, Column::new("test", 15, |record| text(&record["test"]))),
            (
                true,
                Column::new("t/s", 20, |record| {
                    let rate = |name: &str| with_digits(&record[name], 1.0, 2);
                    format!("{} ± {}", rate("avg_ts"), rate("stddev_ts"))
                }),
            ),
        ];
        all.into_iter().filter(|(is_shown, _)| *is_shown).map(|(_, column)| column).collect()
    }
}

impl Test {
    fn record(&self, timing: &ModelTiming) -> Record {
        let Self { case, options, batch } = self;
        let ModelTiming { seconds, rates } = timing;
        let ns = |seconds: f64| (seconds * 1e9).round() as u64;
        object(json!({
            "n_batch": batch,
            "n_ubatch": options.batch,
            "n_threads": options.threads,
            "type_k": options.cache_keys.name().to_lowercase(),
            "type_v": options.cache_values.name().to_lowercase(),
            "precision": if options.precision == Precision::Exact { "exact" } else { "int8" },
            "n_prompt": case.prompt,
            "n_gen": case.generated,
            "n_depth": case.depth,
            "test": case.to_string(),
            "test_time": iso_time(SystemTime::now()),
            "avg_ns": ns(seconds.mean()),
            "stddev_ns": ns(seconds.deviation()),
            "avg_ts": rates.mean(),
            "stddev_ts": rates.deviation(),
            "samples_ns": seconds.values().iter().map(|&seconds| ns(seconds)).collect::<Vec<_>>(),
            "samples_ts": rates.values(),
        }))
    }
}

/// The most tokens of the contexts of tests that take turns: each has a KV cache.
const CONTEXTS_TOKENS: usize = 1 << 14;

/// Neighbouring tests whose contexts together are not too long.
fn taking_turns(tests: &[Test]) -> Vec<&[Test]> {
    let (mut groups, mut rest) = (Vec::new(), tests);
    while !rest.is_empty() {
        let mut tokens = 0usize;
        let fits = |test: &&Test| {
            tokens = tokens.saturating_add(test.case.context());
            tokens <= CONTEXTS_TOKENS
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (group, after) = rest.split_at(count);
        groups.push(group);
        rest = after;
    }
    groups
}

/// Each test with each of the values.
fn with_each<V>(tests: &[Test], values: &[V], set: impl Fn(&mut Test, &V)) -> Vec<Test> {
    let with = |test: &Test, value| {
        let mut test = test.clone();
        set(&mut test, value);
        test
    };
    tests.iter().flat_map(|test| values.iter().map(|value| with(test, value))).collect()
}

/// The entries of a record that describe the model, which may be quantized while loading.
fn describe(path: &Path, file: &gguf::Model, quantize: Option<FileType>) -> Result<Record, Failure> {
    let parameters: u64 = file.tensors().map(|tensor| tensor.info.weights()).sum();
    let bytes: u64 = match quantize {
        None => file.tensors().map(|tensor| tensor.info.bytes()).sum(),
        Some(to) => Plan::new(file, &Request::new(to))?.tensors().map(|tensor| tensor.to.bytes()).sum(),
    };
    let word = |key: &str| file.metadata().str_of(key).map(str::to_owned);
    let size = word("general.size_label").unwrap_or_else(|| show::count(parameters).replace(' ', ""));
    let to = quantize.filter(|&to| to != FileType::COPY).map(FileType::name);
    let file_type = to.or_else(|| inspect::file_type_number(file).and_then(inspect::file_type_name));
    let architecture = word("general.architecture").unwrap_or_default();
    let words = [architecture.as_str(), &size, file_type.unwrap_or_default()];
    Ok(object(json!({
        "model_filename": path.display().to_string(),
        "model_type": show::escaped(words.join(" ").trim()),
        "model_size": bytes,
        "model_n_params": parameters,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_take_turns_while_their_contexts_fit() {
        let test = |depth| {
            let case = ModelCase { prompt: 0, generated: 1, depth };
            Test { case, options: LoadOptions::default(), batch: 1 }
        };
        let depths = |depths: &[usize]| {
            let tests: Vec<Test> = depths.iter().copied().map(test).collect();
            let groups = taking_turns(&tests);
            groups
                .iter()
                .map(|group| group.iter().map(|test| test.case.depth).collect())
                .collect::<Vec<Vec<_>>>()
        };
        let half = CONTEXTS_TOKENS / 2 - 1;
        assert_eq!(depths(&[half, half, 0, 0]), [vec![half, half], vec![0, 0]]);
        assert_eq!(
            depths(&[usize::MAX - 1, 7, usize::MAX - 1]),
            [vec![usize::MAX - 1], vec![7], vec![usize::MAX - 1]]
        );
        assert!(depths(&[]).is_empty());
    }
}
