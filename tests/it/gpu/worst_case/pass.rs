//! Rewrites a shader so that its float arithmetic is as inexact as WGSL allows a compiler to make it.
//!
//! Products are fused into the sums that they feed, sums and products are reassociated, quotients and roots
//! moved, subnormals flushed, zeros given the wrong sign, infinity and NaN replaced by any number. A value
//! that passes through an integer operation is safe from that, as from every compiler; a mere `bitcast` there
//! and back is not.
//!
//! Each f32 expression becomes four: its value, and the m, n and t of which it is known to be m·n + t, as
//! `arithmetic.wgsl` explains. These pass together through variables, vectors, structs and choices, and
//! functions are inlined, so that only an integer operation ends what a compiler may see.

mod builder;
mod expression;
mod inline;
mod statement;

use builder::rebuilt;
use inline::is_inlined;
use naga::Module;
use naga::back::wgsl;
use naga::compact::{KeepUnused, compact};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

/// The worst-case form of a shader.
pub(super) fn at_worst(wgsl: &str) -> String {
    let text = format!("{}{wgsl}", arithmetic());
    let source =
        naga::front::wgsl::parse_str(&text).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&text)));
    let info = validated(&source);
    let mut module = source.clone();
    for (handle, function) in source.functions.iter() {
        let is_arithmetic = function.name.as_ref().is_some_and(|name| name.starts_with("worst_"));
        if !is_arithmetic && !is_inlined(function) {
            *module.functions.get_mut(handle) = rebuilt(&source, &info, function, &info[handle]);
        }
    }
    for (index, entry) in module.entry_points.iter_mut().enumerate() {
        let function = &source.entry_points[index].function;
        entry.function = rebuilt(&source, &info, function, info.get_entry_point(index));
    }
    compact(&mut module, KeepUnused::No);
    wgsl::write_string(&module, &validated(&module), wgsl::WriterFlags::empty()).unwrap()
}

fn validated(module: &Module) -> ModuleInfo {
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::FLOAT64);
    validator.validate(module).unwrap_or_else(|error| panic!("{error:?}"))
}

/// The worst-case operations for scalars and vectors of each size.
fn arithmetic() -> String {
    let types = |scalar: &str, size: usize| match size {
        1 => scalar.to_owned(),
        _ => format!("vec{size}<{scalar}>"),
    };
    let of_size = |size: usize| {
        include_str!("arithmetic.wgsl")
            .replace("SIZE", &size.to_string())
            .replace("FLOAT", &types("f32", size))
            .replace("DOUBLE", &types("f64", size))
            .replace("BITS", &types("u32", size))
    };
    (1..=4).map(of_size).collect()
}
