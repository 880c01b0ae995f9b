//! The types that were chosen.

use super::candidates::Types;
use super::sensitivity::sensitivities;
use super::size::Target;
use super::tensors::{Tensor, expert_share, free_tensors, is_tied};
use super::{Candidate, Fit, Options, Problem, Sensitivity, State, gaussian_error, lattice};
use crate::error::FitFault;
use crate::gguf::Model;
use crate::mix::{self, FileType, TensorRule, or_replacement};
use crate::stream::{Plan, Request};
use crate::{Error, Format, Result};

/// The types that were chosen, and what they cost.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fitted {
    /// The request that makes the file.
    pub request: Request,
    /// Its plan.
    pub plan: Plan,
    /// The fixed mix that it is compared with: that of the target, or the largest one within it.
    pub mix: FileType,
    /// Bytes of the fixed mix's file.
    pub mix_bytes: u64,
    /// The most bytes that were asked for.
    pub max_bytes: u64,
    /// The expected loss: Σ sensitivity · error, where all sensitivities add up to 1.
    pub loss: f64,
    /// That of the fixed mix.
    pub mix_loss: f64,
    /// Bytes of chosen tensors that are read for each token, and those of the fixed mix; for mixtures of
    /// experts.
    pub active_bytes: Option<(u64, u64)>,
    /// The tensors that a type was chosen for, in the order of the file.
    pub tensors: Vec<FittedTensor>,
}

/// A tensor that a type was chosen for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FittedTensor {
    /// Its name.
    pub name: String,
    /// The format that was chosen.
    pub format: Format,
    /// Its format in the fixed mix.
    pub mix_format: Format,
    /// Bytes in the file.
    pub bytes: u64,
    /// Bytes in the fixed mix's file.
    pub mix_bytes: u64,
    /// Its relative squared error.
    pub error: f64,
    /// Its relative squared error in the fixed mix.
    pub mix_error: f64,
    /// What a unit of error costs; 1 for all tensors together.
    pub sensitivity: f64,
    /// Whether the user has chosen the format.
    pub is_pinned: bool,
    /// The format on whose lattice its weights lie, if it was found to be one.
    pub lattice: Option<Format>,
}

impl FittedTensor {
    /// The role in its name: `attn_q` of `blk.3.attn_q.weight`.
    pub fn role(&self) -> &str {
        super::roles::role(&self.name)
    }
}

/// Fixed mixes to compare with, by increasing size on most models.
const MIXES: [FileType; 10] = [
    FileType::Q2_K,
    FileType::Q3_K_S,
    FileType::Q3_K_M,
    FileType::Q3_K_L,
    FileType::Q4_K_S,
    FileType::Q4_K_M,
    FileType::Q5_K_S,
    FileType::Q5_K_M,
    FileType::Q6_K,
    FileType::Q8_0,
];

impl<'a> Fit<'a> {
    /// Reads the header of `model` and finds what may be chosen. Of `request`, everything but the file type
    /// applies; formats that it sets for tensors stay.
    ///
    /// Fails with [`FitFault::Like`], [`FitFault::TooLarge`], [`FitFault::NoType`], [`Error::NotEncoded`],
    /// and with the errors of [`Plan::new`].
    pub fn new(model: &'a Model, request: &Request, options: &Options) -> Result<Self> {
        // Sizes are those of the fixed mixes, whatever the user has chosen for some tensors.
        let unpinned = Request { mix: mix::Options::default(), allow_requantize: true, ..request.clone() };
        let plan_of = |file_type| Plan::new(model, &Request { file_type, ..unpinned.clone() });
        let (mix_type, max_bytes) = match options.target {
            Target::Like(file_type) => {
                if file_type.info().format.is_none_or(Format::is_float) {
                    return Err(Error::Fit(FitFault::Like { file_type }));
                }
                (file_type, plan_of(file_type)?.file_bytes())
            }
            Target::Bytes(bytes) => (nearest(bytes, plan_of)?, bytes),
            Target::BitsPerWeight(bits) => {
                let plan = plan_of(FileType::Q4_K_M)?;
                let alignment = u64::from(alignment(&plan));
                let (weights, bytes) = plan.tensors().fold((0, 0), |(weights, bytes), tensor| {
                    (weights + tensor.to.weights(), bytes + tensor.to.bytes().next_multiple_of(alignment))
                });
                // The header, and the bits with the padding between them.
                let bytes = plan.file_bytes() - bytes + (bits * weights as f64 / 8.0) as u64;
                (nearest(bytes, plan_of)?, bytes)
            }
        };
        let source_bytes = plan_of(FileType::COPY)?.file_bytes();
        if max_bytes >= source_bytes {
            return Err(Error::Fit(FitFault::TooLarge { target_bytes: max_bytes, source_bytes }));
        }
        let is_small = max_bytes < plan_of(FileType::Q3_K_M)?.file_bytes();
        let types = Types::new(options.types.as_deref(), is_small)?;
        let request = Request { file_type: mix_type, ..request.clone() };
        let mix = Plan::new(model, &request)?;
        let tensors = free_tensors(model, &mix, &request, &types)?;
        let alignment = alignment(&mix);
        let mut fit = Self {
            model,
            request,
            options: options.clone(),
            types,
            tensors,
            max_bytes,
            max_active_bytes: None,
            fixed_bytes: 0,
            alignment,
            mix,
        };
        let mix_formats: Vec<Format> = fit.tensors.iter().map(|tensor| tensor.mix).collect();
        let (bytes, active_bytes) = fit.bytes(&mix_formats)?;
        fit.fixed_bytes = fit.mix.file_bytes() - bytes;
        let architecture = model.metadata().str_of("general.architecture").unwrap_or_default();
        if expert_share(model, architecture).is_some() {
            let limit = options.active_limit.map(|limit| (active_bytes as f64 * limit) as u64);
            fit.max_active_bytes = limit;
        }
        Ok(fit)
    }

    /// Bytes of the tensors in these formats, and bytes that are read for each token.
    fn bytes(&self, formats: &[Format]) -> Result<(u64, u64)> {
        let mut sums = (0, 0);
        for (tensor, &format) in self.tensors.iter().zip(formats) {
            let candidate = self.candidate(tensor, format, 0.0)?;
            sums.0 += candidate.bytes;
            sums.1 += candidate.active_bytes;
        }
        Ok(sums)
    }

    fn candidate(&self, tensor: &Tensor, format: Format, loss: f64) -> Result<Candidate> {
        let bytes = tensor.file_bytes(format, self.alignment)?;
        let active_bytes = (bytes as f64 * tensor.active_share) as u64;
        Ok(Candidate { bytes, active_bytes, loss })
    }

    /// Chooses types by the errors that `state` holds.
    ///
    /// Fails with [`FitFault::NotMeasured`] and [`FitFault::NoSensitivities`] if it lacks some, with
    /// [`FitFault::TooSmall`], and with [`FitFault::ActiveBytes`].
    pub fn solve(&self, state: &State) -> Result<Fitted> {
        if matches!(self.options.sensitivity, Sensitivity::Measured) && state.sensitivities().is_empty() {
            return Err(Error::Fit(FitFault::NoSensitivities));
        }
        self.choose(state, &|tensor, format| {
            let error =
                if format == tensor.source { Some(0.0) } else { state.error(&tensor.source_name, format) };
            let tensor = &tensor.name;
            error.ok_or_else(|| Error::Fit(FitFault::NotMeasured { tensor: tensor.clone(), format }))
        })
    }

    /// Chooses types by the errors of Gaussian weights, without reading weights.
    ///
    /// Fails as [`Fit::solve`] does for a target, and with [`FitFault::NoSensitivities`] where they were to
    /// be measured.
    pub fn plan(&self) -> Result<Fitted> {
        if matches!(self.options.sensitivity, Sensitivity::Measured) {
            return Err(Error::Fit(FitFault::NoSensitivities));
        }
        let state = State::empty();
        self.choose(&state, &|tensor, format| {
            let usual = if format == tensor.source { Some(0.0) } else { gaussian_error(format) };
            usual.ok_or(Error::NotEncoded { format })
        })
    }

    fn choose(&self, state: &State, error: &dyn Fn(&Tensor, Format) -> Result<f64>) -> Result<Fitted> {
        let weights = sensitivities(&self.tensors, is_tied(&self.mix), &self.options.sensitivity, state);
        let candidates: Vec<Vec<Format>> =
            self.tensors.iter().map(|tensor| self.with_lattices(tensor, state)).collect();
        let mut problem = Problem {
            items: Vec::new(),
            max_bytes: self.max_bytes.saturating_sub(self.fixed_bytes),
            max_active_bytes: self.max_active_bytes,
        };
        for ((tensor, formats), weight) in self.tensors.iter().zip(&candidates).zip(&weights) {
            let of = |&format: &Format| self.candidate(tensor, format, weight * error(tensor, format)?);
            problem.items.push(formats.iter().map(of).collect::<Result<_>>()?);
        }
        let Some(chosen) = problem.solve(&self.starts(&candidates)) else {
            return Err(self.impossible(&problem));
        };
        let formats = || candidates.iter().zip(&chosen).map(|(formats, &choice)| formats[choice]);
        let request = self.request_for(formats());
        let plan = Plan::new(self.model, &request)?;
        let mut tensors = Vec::new();
        for ((tensor, format), &sensitivity) in self.tensors.iter().zip(formats()).zip(&weights) {
            let errors = state.errors().get(&tensor.source_name);
            // Weights that are all 0 lie on the lattice of every format.
            let errors = errors.filter(|errors| errors.values().any(|&error| error > 0.0));
            let lattices = errors.into_iter().flatten();
            let lattice = lattices.filter(|&(&format, &error)| lattice(format, error));
            let bits = |format: Format| format.info().bits_per_weight();
            tensors.push(FittedTensor {
                name: tensor.name.clone(),
                format,
                mix_format: tensor.mix,
                bytes: tensor.file_bytes(format, self.alignment)?,
                mix_bytes: tensor.file_bytes(tensor.mix, self.alignment)?,
                error: error(tensor, format)?,
                mix_error: error(tensor, tensor.mix)?,
                sensitivity,
                is_pinned: tensor.is_pinned,
                lattice: lattice.map(|(&format, _)| format).min_by(|&a, &b| bits(a).total_cmp(&bits(b))),
            });
        }
        let mix_formats: Vec<Format> = self.tensors.iter().map(|tensor| tensor.mix).collect();
        let active = (problem.totals(&chosen).active_bytes, self.bytes(&mix_formats)?.1);
        Ok(Fitted {
            request,
            plan,
            mix: self.request.file_type,
            mix_bytes: self.mix.file_bytes(),
            max_bytes: self.max_bytes,
            loss: tensors.iter().map(|tensor| tensor.sensitivity * tensor.error).sum(),
            mix_loss: tensors.iter().map(|tensor| tensor.sensitivity * tensor.mix_error).sum(),
            active_bytes: self.max_active_bytes.map(|_| active),
            tensors,
        })
    }

    /// The candidates of a tensor, with the formats on whose lattice it was found to lie.
    fn with_lattices(&self, tensor: &Tensor, state: &State) -> Vec<Format> {
        let mut candidates = tensor.candidates.clone();
        if self.types.are_named || tensor.is_pinned {
            return candidates;
        }
        for (&format, &error) in state.errors().get(&tensor.source_name).into_iter().flatten() {
            let is_offered = super::measure::LATTICES.contains(&format);
            if is_offered && lattice(format, error) && !candidates.contains(&format) {
                candidates.push(format);
            }
        }
        candidates
    }

    /// Solutions to start from: the fixed mix, and each type for all tensors.
    fn starts(&self, candidates: &[Vec<Format>]) -> Vec<Vec<usize>> {
        let start = |format: &dyn Fn(&Tensor) -> Option<Format>| -> Option<Vec<usize>> {
            let items = self.tensors.iter().zip(candidates);
            items
                .map(|(tensor, formats)| {
                    let wanted = format(tensor)?;
                    formats.iter().position(|&format| format == wanted)
                })
                .collect()
        };
        let mix = start(&|tensor| Some(tensor.mix));
        let uniform = self.types.formats().iter().filter_map(|&format| {
            start(&|tensor| {
                if tensor.is_pinned { Some(tensor.mix) } else { or_replacement(format, &tensor.view()).ok() }
            })
        });
        mix.into_iter().chain(uniform).collect()
    }

    /// The request that gives the tensors these formats.
    fn request_for(&self, formats: impl Iterator<Item = Format>) -> Request {
        let rules = self.tensors.iter().zip(formats);
        let mut rules: Vec<_> =
            rules.map(|(tensor, format)| TensorRule::named(&tensor.name, format)).collect();
        rules.extend(self.request.mix.tensor_types.iter().cloned());
        let mix = mix::Options { tensor_types: rules, pure: false, ..self.request.mix.clone() };
        Request { mix, ..self.request.clone() }
    }

    fn impossible(&self, problem: &Problem) -> Error {
        let least = problem.least();
        let least_bytes = least.bytes + self.fixed_bytes;
        Error::Fit(match self.max_active_bytes {
            Some(limit_bytes) if least_bytes <= self.max_bytes => {
                FitFault::ActiveBytes { limit_bytes, least_bytes: least.active_bytes }
            }
            _ => FitFault::TooSmall { target_bytes: self.max_bytes, least_bytes },
        })
    }
}

/// The alignment of a plan's files.
fn alignment(plan: &Plan) -> u32 {
    plan.files.first().map_or(32, |file| file.layout.alignment())
}

/// The largest of the fixed mixes within `bytes`; the smallest if none is.
fn nearest(bytes: u64, plan_of: impl Fn(FileType) -> Result<Plan>) -> Result<FileType> {
    let mut nearest = (MIXES[0], 0);
    for file_type in MIXES {
        let found = plan_of(file_type)?.file_bytes();
        if found <= bytes && found > nearest.1 {
            nearest = (file_type, found);
        }
    }
    Ok(nearest.0)
}
