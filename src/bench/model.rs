//! Measures models as llama-bench does: tokens of a prompt in batches, tokens of an answer one by one.

use super::timing::Samples;
use crate::cpu::check_positive;
use crate::llm::{Model, Session};
use crate::{Error, Result};
use std::fmt;
use std::time::Instant;

/// The tokens that a model processes. Named as in llama-bench: `pp512`, `tg128`, `pp512+tg128 @ d4096`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ModelCase {
    /// Tokens of a prompt, in batches.
    pub prompt: usize,
    /// Tokens generated after that, one by one, each after the logits of the one before have reached the
    /// host.
    pub generated: usize,
    /// Tokens in the context before; not timed.
    pub depth: usize,
}

/// How to measure a model: [`ModelSettings::default`], changed by the `with_` methods or field by field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ModelSettings {
    /// Timed repetitions.
    pub repetitions: usize,
    /// Tokens of a prompt per call of the session, which returns logits after each call and splits it into
    /// batches of [`LoadOptions::batch`](crate::llm::LoadOptions::batch).
    pub batch: usize,
    /// Whether to run the prompt and one token once untimed, which also compiles shaders.
    pub warm_up: bool,
}

impl ModelSettings {
    /// Sets [`repetitions`](Self::repetitions).
    #[must_use]
    pub fn with_repetitions(self, repetitions: usize) -> Self {
        Self { repetitions, ..self }
    }

    /// Sets [`batch`](Self::batch).
    #[must_use]
    pub fn with_batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// Sets [`warm_up`](Self::warm_up).
    #[must_use]
    pub fn with_warm_up(self, warm_up: bool) -> Self {
        Self { warm_up, ..self }
    }
}

impl Default for ModelSettings {
    /// As in llama-bench: five repetitions after a warm-up, 2048 tokens per call.
    fn default() -> Self {
        Self { repetitions: 5, batch: 2048, warm_up: true }
    }
}

/// The stage of a measurement that begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Filling the context.
    Depth,
    /// The untimed run.
    WarmUp,
    /// A timed repetition, counted from 1.
    Repetition(usize),
}

/// The speed of a model in each repetition.
#[derive(Clone, PartialEq, Debug)]
pub struct ModelTiming {
    /// Seconds of each repetition, by the host's clock.
    pub seconds: Samples,
    /// Tokens per second of each repetition.
    pub rates: Samples,
}

impl ModelCase {
    /// The number of timed tokens.
    pub fn tokens(&self) -> usize {
        self.prompt.saturating_add(self.generated)
    }

    /// The number of tokens that the context must hold.
    pub fn context(&self) -> usize {
        self.depth.saturating_add(self.tokens())
    }

    /// Measures the model in a new session, with random tokens that are always the same.
    ///
    /// The context is filled once, up to the depth; every repetition starts there. `progress` is called
    /// before each stage. Fails with [`Error::Number`] if there are no tokens, no repetitions or a batch of
    /// 0; with [`Error::ContextFull`] if [`ModelCase::context`] exceeds the model's context; and as
    /// [`Session::new`] and [`Session::prefill`] do.
    pub fn measure(
        &self,
        model: &Model,
        settings: &ModelSettings,
        progress: &mut dyn FnMut(Stage),
    ) -> Result<ModelTiming> {
        let tests = [ModelTest { case: *self, model, settings: *settings }];
        Ok(measure_models_in_turns(&tests, &mut |_, stage| progress(stage))?.remove(0))
    }
}

/// A case with the model that it is measured on.
#[derive(Clone, Copy, Debug)]
pub struct ModelTest<'a> {
    /// The case.
    pub case: ModelCase,
    /// The model.
    pub model: &'a Model,
    /// How to measure.
    pub settings: ModelSettings,
}

/// Measures several cases, each as [`ModelCase::measure`] does; their repetitions take turns, so that what
/// slows the machine down for a while does so for all.
///
/// Needs memory for all sessions at once. `progress` also gets the number of the test, from 0.
pub fn measure_models_in_turns(
    tests: &[ModelTest],
    progress: &mut dyn FnMut(usize, Stage),
) -> Result<Vec<ModelTiming>> {
    tests.iter().try_for_each(ModelTest::check)?;
    let started =
        tests.iter().enumerate().map(|(i, test)| Started::new(test, &mut |stage| progress(i, stage)));
    let mut started = started.collect::<Result<Vec<_>>>()?;
    let rounds = tests.iter().map(|test| test.settings.repetitions).max().unwrap_or(0);
    for number in 1..=rounds {
        for (i, test) in started.iter_mut().enumerate() {
            if number <= test.settings.repetitions {
                test.repeat(&mut || progress(i, Stage::Repetition(number)))?;
            }
        }
    }
    Ok(started.into_iter().map(Started::timing).collect())
}

impl ModelTest<'_> {
    fn check(&self) -> Result<()> {
        check_positive("the number of tokens", self.case.tokens())?;
        check_positive("the number of tokens at once", self.settings.batch)?;
        check_positive("the number of repetitions", self.settings.repetitions)?;
        let (context, needed) = (self.model.context(), self.case.context());
        if needed > context { Err(Error::ContextFull { context, needed }) } else { Ok(()) }
    }
}

/// A test whose context is filled.
struct Started {
    case: ModelCase,
    settings: ModelSettings,
    session: Session,
    /// Those of the prompt, then those that are generated.
    tokens: Vec<u32>,
    seconds: Vec<f64>,
}

impl Started {
    fn new(test: &ModelTest, progress: &mut dyn FnMut(Stage)) -> Result<Self> {
        let ModelTest { case, model, settings } = *test;
        let mut before = random_tokens(case.context(), model.config().vocabulary);
        let tokens = before.split_off(case.depth);
        let mut session = Session::new(model)?;
        if case.depth > 0 {
            progress(Stage::Depth);
            fill(&mut session, &before, settings.batch)?;
        }
        if settings.warm_up {
            progress(Stage::WarmUp);
            let (prompt, generated) = tokens.split_at(case.prompt);
            fill(&mut session, prompt, settings.batch)?;
            fill(&mut session, &generated[..case.generated.min(1)], 1)?;
        }
        Ok(Self { case, settings, session, tokens, seconds: Vec::new() })
    }

    fn repeat(&mut self, progress: &mut dyn FnMut()) -> Result<()> {
        self.session.rewind(self.case.depth)?;
        progress();
        let (prompt, generated) = self.tokens.split_at(self.case.prompt);
        let start = Instant::now();
        fill(&mut self.session, prompt, self.settings.batch)?;
        fill(&mut self.session, generated, 1)?;
        self.seconds.push(start.elapsed().as_secs_f64());
        Ok(())
    }

    fn timing(self) -> ModelTiming {
        let rates = self.seconds.iter().map(|seconds| self.case.tokens() as f64 / seconds).collect();
        ModelTiming { seconds: Samples(self.seconds), rates: Samples(rates) }
    }
}

impl fmt::Display for ModelCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("pp", self.prompt), ("tg", self.generated)].into_iter().filter(|(_, count)| *count > 0);
        let parts: Vec<_> = parts.map(|(name, count)| format!("{name}{count}")).collect();
        let depth = if self.depth > 0 { format!(" @ d{}", self.depth) } else { String::new() };
        f.pad(&(parts.join("+") + &depth))
    }
}

/// Appends tokens, `at_once` per call, with logits after each call.
fn fill(session: &mut Session, tokens: &[u32], at_once: usize) -> Result<()> {
    tokens.chunks(at_once).try_for_each(|tokens| session.prefill(tokens))
}

fn random_tokens(count: usize, vocabulary: usize) -> Vec<u32> {
    // Knuth's generator; only its upper bits are random.
    let next = |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    let states = std::iter::successors(Some(1), next).skip(1);
    states.map(|state: u64| ((state >> 33) % vocabulary as u64) as u32).take(count).collect()
}
