//! What quantizing costs: the size, error, quality and speed of a model in several types, on one page.
//!
//! [`measure`] makes each type in memory, as a file of it would be, and gives a [`Report`]: plain data,
//! which [`Report::to_json`] and [`Report::from_json`] write and read, [`merge`] joins with those of other
//! machines, and [`terminal_table`], [`markdown`], [`html`] and [`pictures`] show.
//!
//! Every figure is that of another function of this crate: sizes of [`stream::Plan`](crate::stream::Plan),
//! the error of [`eval::planned_distortion`](crate::eval::planned_distortion), quality of
//! [`eval::perplexity`](crate::eval::perplexity), speed of
//! [`bench::ModelCase::measure`](crate::bench::ModelCase::measure).

mod base;
mod best;
mod columns;
mod comparison;
mod data;
mod html;
mod kind;
mod machine_tables;
mod machines;
mod machines_page;
mod markdown;
mod measure;
mod merge;
mod options;
mod page;
pub mod pictures;
mod terminal;

pub use best::{Rule, best};
pub use comparison::{comparison_html, comparison_svg};
pub use data::{
    Base, Cases, Divergence, Estimate, Quality, Report, Row, Speed, TensorError, Text, WeightError,
};
pub use html::html;
pub use kind::{Kind, request_of};
pub use machines::{Figure, Group, Machine, MachinePeak, MachineRow, Machines};
pub use machines_page::{machines_html, machines_markdown};
pub use markdown::markdown;
pub use measure::measure;
pub use merge::merge;
pub use options::{Device, Keep, Options, Progress, Stage};
pub use terminal::terminal_table;
