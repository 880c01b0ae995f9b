//! The parameters of kernels: one struct for each family, with the layout of the WGSL struct `Params` that it
//! mirrors. A test compares both layouts.

use bytemuck::{Pod, Zeroable};

/// Invocations in a workgroup by default.
pub(in crate::gpu) const WORKGROUP: u64 = 64;

/// WebGPU's limit for each dimension of a dispatch.
pub(in crate::gpu) const MAX_WORKGROUPS: u32 = 65_535;

/// The parameters of a family of kernels, which follow the common [`Head`].
pub(in crate::gpu) trait Params: Pod {
    /// The file in `shaders/` that declares the struct `Params`.
    #[cfg(test)]
    const FILE: &'static str;
    /// The name and offset of each field, in bytes after the head.
    #[cfg(test)]
    const FIELDS: &'static [(&'static str, usize)];
}

/// Declares a family's parameters, all of them u32.
macro_rules! params {
    ($(#[$doc:meta])* $name:ident in $file:literal { $($(#[$field_doc:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Default, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        pub(in crate::gpu) struct $name {
            $($(#[$field_doc])* pub(in crate::gpu) $field: u32,)*
        }

        impl $crate::gpu::shader::params::Params for $name {
            #[cfg(test)]
            const FILE: &'static str = $file;
            #[cfg(test)]
            const FIELDS: &'static [(&'static str, usize)] =
                &[$((stringify!($field), std::mem::offset_of!($name, $field))),*];
        }
    };
}
pub(in crate::gpu) use params;

/// The parameters that every kernel starts with.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(in crate::gpu) struct Head {
    /// The amount of work as the kernel counts it, mostly invocations.
    pub(in crate::gpu) count: u32,
    /// 0, which compilers do not know: `opaque` in `shaders/lib/exact.wgsl` adds it.
    pub(in crate::gpu) zero: u32,
    /// Workgroups in one row of the dispatch.
    pub(in crate::gpu) groups_per_row: u32,
}

params! {
    /// For kernels that need nothing but the head.
    HeadParams in "lib/params.wgsl" {}
}

/// The contents of the uniform buffer, padded to whole vec4s.
pub(in crate::gpu) fn uniform_bytes<P: Params>(head: Head, params: &P) -> Vec<u8> {
    let mut bytes = [bytemuck::bytes_of(&head), bytemuck::bytes_of(params)].concat();
    bytes.resize(bytes.len().next_multiple_of(16), 0);
    bytes
}

#[cfg(test)]
pub(in crate::gpu) mod tests {
    use super::*;
    use naga::TypeInner;

    /// Compares a family's struct with naga's layout of the WGSL struct.
    fn has_the_layout_of_wgsl<P: Params>() {
        let file = P::FILE;
        let source = crate::gpu::shader::files::FILES.iter().find(|(path, _)| *path == file);
        let (_, source) = source.unwrap_or_else(|| panic!("there is no {file}"));
        // Only the struct: other declarations of the file may need a format.
        let start = source.find("struct Params {").unwrap_or_else(|| panic!("{file} has no Params"));
        let end = start + source[start..].find('}').expect("a struct has an end") + 1;
        let module = naga::front::wgsl::parse_str(&source[start..end]).expect("a struct is WGSL");
        let (_, ty) = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some("Params")).unwrap();
        let TypeInner::Struct { members, span } = &ty.inner else { panic!("{file}: Params is no struct") };
        let found: Vec<_> =
            members.iter().map(|member| (member.name.as_deref().unwrap(), member.offset as usize)).collect();
        let head = [
            ("count", std::mem::offset_of!(Head, count)),
            ("zero", std::mem::offset_of!(Head, zero)),
            ("groups_per_row", std::mem::offset_of!(Head, groups_per_row)),
        ];
        let more = P::FIELDS.iter().map(|&(name, offset)| (name, size_of::<Head>() + offset));
        let expected: Vec<_> = head.into_iter().chain(more).collect();
        assert_eq!(found, expected, "{file}");
        assert_eq!(*span as usize, size_of::<Head>() + size_of::<P>(), "{file}");
    }

    #[test]
    fn params_have_the_layout_of_their_wgsl_structs() {
        use crate::gpu::{convert, matmul, matrix};
        has_the_layout_of_wgsl::<HeadParams>();
        has_the_layout_of_wgsl::<convert::round_trip::ErrorSumsParams>();
        has_the_layout_of_wgsl::<matrix::program::MatrixParams>();
        has_the_layout_of_wgsl::<matrix::quantize::CheckParams>();
        has_the_layout_of_wgsl::<matrix::copy::CopyRowsParams>();
        has_the_layout_of_wgsl::<matrix::copy::ScatterFieldsParams>();
        has_the_layout_of_wgsl::<matmul::f16_activations::F16ActivationsParams>();
        has_the_layout_of_wgsl::<matmul::cooperative_decoded::DecodedParams>();
        has_the_layout_of_wgsl::<matmul::split_k::SplitKSumParams>();
        has_the_layout_of_wgsl::<matmul::experts::ExpertParams>();
    }
}
