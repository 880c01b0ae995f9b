//! The bindings of kernels: number, name in WGSL, and kind of resource.

use wgpu::TextureFormat;

/// How a kernel accesses a storage buffer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// Read only.
    Read,
    /// Read and write.
    ReadWrite,
}

/// A variable of a shader that is bound to a resource.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(in crate::gpu) struct Binding {
    /// The number in `@binding(…)`. The parameters have 0.
    pub(in crate::gpu) number: u32,
    /// The name in WGSL, which debug builds check.
    pub(in crate::gpu) name: &'static str,
}

impl Binding {
    pub(in crate::gpu) const fn new(number: u32, name: &'static str) -> Self {
        Self { number, name }
    }
}

/// The kind of resource at a binding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::gpu) enum BindingKind {
    Storage(Access),
    Uniform,
    Texture(TextureFormat),
}

impl From<BindingKind> for wgpu::BindingType {
    fn from(kind: BindingKind) -> Self {
        let buffer = |ty| Self::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
        match kind {
            BindingKind::Storage(access) => {
                buffer(wgpu::BufferBindingType::Storage { read_only: access == Access::Read })
            }
            BindingKind::Uniform => buffer(wgpu::BufferBindingType::Uniform),
            BindingKind::Texture(format) => Self::StorageTexture {
                access: wgpu::StorageTextureAccess::ReadOnly,
                format,
                view_dimension: wgpu::TextureViewDimension::D2,
            },
        }
    }
}

/// The difference between the variables of a shader and what the host binds, each as a number with `name
/// kind`; `None` if they agree. Ignores the parameters at 0.
#[cfg(debug_assertions)]
pub(super) fn mismatch(wgsl: &str, bound: &[(Binding, BindingKind)]) -> Option<String> {
    use naga::{AddressSpace, ImageClass, StorageAccess, TypeInner};
    // wgpu reports invalid WGSL.
    let module = naga::front::wgsl::parse_str(wgsl).ok()?;
    let describe = |name: &str, kind: &str| format!("{name} {kind}");
    let mut in_shader: Vec<(u32, String)> = Vec::new();
    for (_, variable) in module.global_variables.iter() {
        let Some(binding) = variable.binding.as_ref().filter(|binding| binding.binding > 0) else { continue };
        let kind = match (variable.space, &module.types[variable.ty].inner) {
            (AddressSpace::Storage { access }, _) if access.contains(StorageAccess::STORE) => "read_write",
            (AddressSpace::Storage { .. }, _) => "read",
            (AddressSpace::Uniform, _) => "uniform",
            (_, TypeInner::Image { class: ImageClass::Storage { .. }, .. }) => "texture",
            _ => "other",
        };
        in_shader.push((binding.binding, describe(variable.name.as_deref().unwrap_or_default(), kind)));
    }
    let kind_of = |kind: BindingKind| match kind {
        BindingKind::Storage(Access::ReadWrite) => "read_write",
        BindingKind::Storage(Access::Read) => "read",
        BindingKind::Uniform => "uniform",
        BindingKind::Texture(_) => "texture",
    };
    let mut on_host: Vec<_> =
        bound.iter().map(|(bound, kind)| (bound.number, describe(bound.name, kind_of(*kind)))).collect();
    in_shader.sort();
    on_host.sort();
    (in_shader != on_host).then(|| format!("the shader has {in_shader:?}, the host binds {on_host:?}"))
}
