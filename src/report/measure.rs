//! Measures a model in several types.

use super::base::{base_of, file_bytes, formats_of};
use super::data::{Cases, Divergence, Estimate, Quality, Report, Row, Speed, Text, WeightError};
use super::kind::{Kind, request_of};
use super::options::{Keep, Options, Progress, Stage};
use crate::bench::{ModelCase, ModelSettings};
use crate::eval::{self, BaseKey, BaseLogits, Prediction};
use crate::fit::State;
use crate::gguf;
use crate::llm::Model;
use crate::stream::{self, Existing, Plan, Request, Resources};
use crate::{Error, Result};
use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

/// What a generated token costs, in tokens of a prompt: weights are read for it alone.
const GENERATED_COST: u64 = 6;

/// Measures `base` and each type of it, made in memory as a file of it would be.
///
/// `progress` is called before each stage and after each chunk of the text; [`ControlFlow::Break`] stops with
/// [`Error::Cancelled`]. Needs the memory of one model at a time, and 2 bytes on the disk for each predicted
/// token and each token of the vocabulary.
///
/// Fails with the errors of [`Plan::new`] for a type, before anything is computed; of [`Model::load`]; of
/// [`eval::perplexity`]; of [`BaseLogits::check`] if the predictions in [`Keep::File`] are of another base or
/// text; and of [`ModelCase::measure`].
pub fn measure(
    base: &gguf::Model,
    options: &Options,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Report> {
    let Some(first) = options.devices.first() else {
        return Err(Error::Number {
            what: "the number of devices",
            needed: "at least 1".to_owned(),
            found: 0,
        });
    };
    let mut state = State::new(base)?;
    // Wrong types are found before anything takes long.
    let plans: Vec<(Kind, Request, Plan)> = options
        .kinds
        .iter()
        .map(|&kind| {
            let request = request_of(kind, base, &first.device, options.allow_requantize, &mut state)?;
            let plan = Plan::new(base, &request)?;
            Ok((kind, request, plan))
        })
        .collect::<Result<_>>()?;
    let load = options.load.clone().with_device(first.device.clone());
    let key = BaseKey::new(base, &load, &options.text, &options.chunks)?;
    let text = Text {
        name: options.text_name.clone(),
        tokens: key.text.clone(),
        chunk_tokens: key.chunk_tokens,
        chunks: key.chunks,
        bos: key.bos,
        predicted: 0,
        device: first.name.clone(),
        precision: key.precision.clone(),
    };
    let cache_tokens = {
        let trained = crate::llm::Config::new(base)?.trained_context;
        options.load.context.unwrap_or(trained.min(4096))
    };
    let mut report = Report::new(base_of(base, &key), text, options.cases, cache_tokens);
    report.memory_limit = options.memory_limit;
    let mut run = Run { base, options, key, done: 0, total: 0, progress };
    run.total = run.row_cost() * (1 + plans.len() as u64);
    let known = run.known_logits()?;
    // This finds weights that are no numbers, and takes seconds.
    let errors = plans.iter().map(|(kind, _, plan)| run.error(*kind, plan)).collect::<Result<Vec<_>>>()?;
    let (row, kept) = run.base_row(known, cache_tokens)?;
    report.rows.push(row);
    for ((kind, request, plan), error) in plans.iter().zip(errors) {
        report.rows.push(run.type_row((*kind, request, plan), error, &kept.logits, cache_tokens)?);
    }
    let predicted = (report.text.chunk_tokens - 1 - report.text.chunk_tokens / 2) * report.text.chunks;
    report.text.predicted = predicted as u64;
    Ok(report)
}

/// A report that is made.
struct Run<'a> {
    base: &'a gguf::Model,
    options: &'a Options,
    key: BaseKey,
    done: u64,
    total: u64,
    progress: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>,
}

/// The base's predictions, with the file to remove at the end.
struct Kept {
    logits: BaseLogits,
    remove: Option<PathBuf>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(path) = &self.remove {
            // Gone already where an open file can be removed.
            let _ = fs::remove_file(path);
        }
    }
}

impl Run<'_> {
    /// The error of the weights of a type.
    fn error(&mut self, kind: Kind, plan: &Plan) -> Result<WeightError> {
        self.report(&kind.to_string(), Stage::Error)?;
        let threads = self.options.load.threads.and_then(NonZeroUsize::new);
        let threads = threads.unwrap_or(Resources::default().threads);
        Ok(WeightError::from(&eval::planned_distortion(self.base, plan, threads)?))
    }

    fn base_row(&mut self, known: Option<BaseLogits>, cache_tokens: usize) -> Result<(Row, Kept)> {
        let name = formats_of(self.base);
        let model = self.load(&name, None, 0)?;
        let kept = match known {
            Some(logits) => {
                self.done += self.text_tokens();
                Kept { logits, remove: None }
            }
            None => self.record(&name, &model)?,
        };
        let perplexity = kept.logits.perplexity()?;
        let speeds = self.speeds(&name, None, model, cache_tokens)?;
        let bytes: u64 = self.base.tensors().map(|tensor| tensor.info.bytes()).sum();
        let weights: u64 = self.base.tensors().map(|tensor| tensor.info.weights()).sum();
        let row = Row {
            name,
            is_base: true,
            file_bytes: file_bytes(self.base),
            bits_per_weight: bytes as f64 * 8.0 / weights.max(1) as f64,
            error: None,
            quality: Quality {
                perplexity: Estimate { value: perplexity.value(), error: Some(perplexity.error()) },
                divergence: None,
            },
            speeds,
        };
        Ok((row, kept))
    }

    /// The predictions that were kept earlier.
    fn known_logits(&self) -> Result<Option<BaseLogits>> {
        let open = |path| {
            let logits = BaseLogits::open(path)?;
            logits.check(&self.key, false)?;
            Ok(logits)
        };
        match &self.options.keep {
            Keep::File(path) if path.exists() => open(path).map(Some),
            Keep::FileOrReplace(path) if path.exists() => match open(path) {
                Err(Error::Comparison(_)) => Ok(None),
                opened => opened.map(Some),
            },
            _ => Ok(None),
        }
    }

    /// Evaluates the base.
    fn record(&mut self, name: &str, model: &Model) -> Result<Kept> {
        self.report(name, Stage::Predict)?;
        let (options, key) = (self.options, self.key.clone());
        let (path, existing, is_temporary) = match &options.keep {
            Keep::File(path) => (path, Existing::Refuse, false),
            Keep::FileOrReplace(path) => (path, Existing::Replace, false),
            Keep::Temporary(path) => (path, Existing::Replace, true),
        };
        let mut on_chunk = |_: &Prediction| self.chunk(name);
        let logits =
            BaseLogits::record(path, existing, &key, model, &options.text, &options.chunks, &mut on_chunk)?;
        if is_temporary {
            // Where that fails, it is removed at the end.
            let _ = fs::remove_file(path);
        }
        Ok(Kept { logits, remove: is_temporary.then(|| path.clone()) })
    }

    fn type_row(
        &mut self,
        (kind, request, plan): (Kind, &Request, &Plan),
        error: WeightError,
        kept: &BaseLogits,
        cache_tokens: usize,
    ) -> Result<Row> {
        let name = kind.to_string();
        let model = self.load(&name, Some(request), 0)?;
        self.report(&name, Stage::Predict)?;
        let options = self.options;
        let known = eval::perplexity(
            &model,
            Some(eval::Base::Kept(kept)),
            &options.text,
            &options.chunks,
            &mut |_| self.chunk(&name),
        )?;
        let speeds = self.speeds(&name, Some(request), model, cache_tokens)?;
        Ok(Row {
            name,
            is_base: false,
            file_bytes: plan.file_bytes(),
            bits_per_weight: stream::Report::new(plan, Duration::ZERO).bits_per_weight(),
            error: Some(error),
            quality: quality(&known),
            speeds,
        })
    }

    /// Loads the base, quantized by `request`, on a device.
    fn load(&mut self, name: &str, request: Option<&Request>, device: usize) -> Result<Model> {
        self.report(name, Stage::Load)?;
        let options = self.options;
        let load = options
            .load
            .clone()
            .with_device(options.devices[device].device.clone())
            .with_context(options.chunks.tokens);
        let load = match request {
            Some(request) => load.with_quantize_request(request.clone()),
            None => load,
        };
        let base = self.base;
        Model::from_gguf_with(base, &load, &mut |_| match self.report(name, Stage::Load) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        })
    }

    /// Speed and memory on each device; `model` is loaded on the first.
    fn speeds(
        &mut self,
        name: &str,
        request: Option<&Request>,
        model: Model,
        cache_tokens: usize,
    ) -> Result<Vec<Speed>> {
        let mut loaded = Some(model);
        let mut speeds = Vec::new();
        for index in 0..self.options.devices.len() {
            let model = match loaded.take() {
                Some(model) => model,
                None => self.load(name, request, index)?,
            };
            let sessions = |context| model.with_sessions(&self.options.load.clone().with_context(context));
            let cache_bytes = sessions(cache_tokens)?.cache_bytes();
            let mut rates = [None, None];
            if let Some(Cases { prompt, generated, repetitions }) = self.options.cases {
                let cases = [(prompt, 0), (0, generated)];
                for (rate, (prompt, generated)) in rates.iter_mut().zip(cases) {
                    if prompt + generated == 0 {
                        continue;
                    }
                    self.report(name, Stage::Speed)?;
                    let case = ModelCase { prompt, generated, depth: 0 };
                    let model =
                        model.with_sessions(&self.options.load.clone().with_context(case.context()))?;
                    let settings = ModelSettings::default().with_repetitions(repetitions);
                    let timing = case.measure(&model, &settings, &mut |_| ())?;
                    let error = (repetitions > 1).then(|| timing.rates.deviation());
                    *rate = Some(Estimate { value: timing.rates.mean(), error });
                    self.done += case_cost(prompt, generated, repetitions);
                }
            }
            let [prompt, generation] = rates;
            let device = self.options.devices[index].name.clone();
            let weight_bytes = model.device_bytes();
            speeds.push(Speed { device, weight_bytes, cache_bytes, prompt, generation });
        }
        Ok(speeds)
    }

    fn text_tokens(&self) -> u64 {
        (self.key.chunks * self.key.chunk_tokens) as u64
    }

    /// Tokens of a row.
    fn row_cost(&self) -> u64 {
        let cases = self.options.cases.map_or(0, |Cases { prompt, generated, repetitions }| {
            case_cost(prompt, 0, repetitions) + case_cost(0, generated, repetitions)
        });
        self.text_tokens() + cases * self.options.devices.len() as u64
    }

    fn chunk(&mut self, name: &str) -> ControlFlow<()> {
        self.done += self.key.chunk_tokens as u64;
        let (done, total) = (self.done, self.total);
        (self.progress)(&Progress { row: name, stage: Stage::Predict, done, total })
    }

    fn report(&mut self, name: &str, stage: Stage) -> Result<()> {
        let (done, total) = (self.done, self.total);
        match (self.progress)(&Progress { row: name, stage, done, total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }
}

/// What a case costs with its warm-up, in tokens of a prompt.
fn case_cost(prompt: usize, generated: usize, repetitions: usize) -> u64 {
    (prompt as u64 + GENERATED_COST * generated as u64) * repetitions as u64 + prompt as u64
}

fn quality(known: &Prediction) -> Quality {
    let perplexity = &known.perplexity;
    let divergence = known.divergence.as_ref().map(|divergence| {
        let same_top = divergence.same_top();
        Divergence {
            log_ratio: divergence.log_ratio().into(),
            mean: Estimate { value: divergence.mean().value, ..divergence.by_chunk().into() },
            position_error: divergence.mean().error,
            median: divergence.percentile(0.5),
            percentile_99: divergence.percentile(0.99),
            largest: divergence.percentile(1.0),
            same_top: same_top.into(),
            rms_difference: divergence.rms_difference(),
            chunk_means: divergence.chunk_means().to_vec(),
        }
    });
    Quality {
        perplexity: Estimate { value: perplexity.value(), error: Some(perplexity.error()) },
        divergence,
    }
}
