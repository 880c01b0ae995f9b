//! Builds a function from the source's, with what a compiler may know of each float beside its value.

use naga::proc::TypeResolution;
use naga::valid::{FunctionInfo, ModuleInfo};
use naga::{
    AddressSpace, Block, Expression, Function, Handle, LocalVariable, Module, Range, ScalarKind, Span,
    Statement, Type, TypeInner,
};
use std::collections::HashMap;

/// An expression of the new function.
pub(super) type Node = Handle<Expression>;

/// The translation of an expression.
#[derive(Clone, Copy)]
pub(super) struct Value {
    pub(super) plain: Node,
    /// m, n and t, unless a compiler knows nothing about the value. Bits have those of the float that they
    /// represent.
    pub(super) seen: Option<[Node; 3]>,
}

impl From<Node> for Value {
    fn from(plain: Node) -> Self {
        Self { plain, seen: None }
    }
}

/// A source function that is being copied, either as a function or in place of a call.
pub(super) struct Frame<'a> {
    pub(super) function: &'a Function,
    pub(super) info: &'a FunctionInfo,
    pub(super) arguments: Vec<Value>,
    pub(super) values: HashMap<Node, Value>,
    /// The return value of an inlined function.
    pub(super) returned: Option<Value>,
    pub(super) is_inlined: bool,
}

/// Builds a function.
pub(super) struct Builder<'a> {
    pub(super) module: &'a Module,
    pub(super) info: &'a ModuleInfo,
    pub(super) new: Function,
    /// The block that statements are added to.
    pub(super) block: Block,
}

pub(super) fn rebuilt(
    module: &Module,
    info: &ModuleInfo,
    function: &Function,
    function_info: &FunctionInfo,
) -> Function {
    let mut builder = Builder {
        module,
        info,
        new: Function {
            name: function.name.clone(),
            arguments: function.arguments.clone(),
            result: function.result.clone(),
            ..Function::default()
        },
        block: Block::new(),
    };
    let types = function.arguments.iter().map(|argument| argument.ty);
    for ty in types.chain(function.result.as_ref().map(|result| result.ty)) {
        let has_floats = holds_floats(module, &module.types[ty].inner);
        assert!(!has_floats, "{:?} has floats in its signature: return at its end only", function.name);
    }
    let arguments = 0..function.arguments.len() as u32;
    let arguments = arguments.map(|i| builder.node(Expression::FunctionArgument(i)).into()).collect();
    builder.copy(function, function_info, arguments, false);
    builder.new.body = builder.block;
    builder.new
}

/// Whether a type contains floats for which m, n and t are tracked. Pointers count if they point to variables
/// of a function.
pub(super) fn holds_floats(module: &Module, inner: &TypeInner) -> bool {
    let rest = |ty: Handle<Type>| holds_floats(module, &module.types[ty].inner);
    match *inner {
        TypeInner::Scalar(scalar) | TypeInner::Vector { scalar, .. } | TypeInner::Matrix { scalar, .. } => {
            scalar.kind == ScalarKind::Float
        }
        TypeInner::ValuePointer { scalar, space, .. } => {
            space == AddressSpace::Function && scalar.kind == ScalarKind::Float
        }
        TypeInner::Pointer { base, space } => space == AddressSpace::Function && rest(base),
        TypeInner::Array { base, .. } => rest(base),
        TypeInner::Struct { ref members, .. } => members.iter().any(|member| rest(member.ty)),
        _ => false,
    }
}

impl<'a> Frame<'a> {
    pub(super) fn inner(&self, module: &'a Module, node: Node) -> &TypeInner {
        self.info[node].ty.inner_with(&module.types)
    }
}

impl<'a> Builder<'a> {
    /// Adds an expression that is evaluated here.
    pub(super) fn node(&mut self, expression: Expression) -> Node {
        let is_ready = expression.needs_pre_emit();
        let node = self.new.expressions.append(expression, Span::UNDEFINED);
        if !is_ready {
            self.add(Statement::Emit(Range::new_from_bounds(node, node)));
        }
        node
    }

    pub(super) fn add(&mut self, statement: Statement) {
        self.block.push(statement, Span::UNDEFINED);
    }

    /// Calls a function of `arithmetic.wgsl`.
    pub(super) fn call(&mut self, name: &str, size: usize, arguments: Vec<Node>) -> Node {
        let name = format!("worst_{name}_{size}");
        let mut functions = self.module.functions.iter();
        let (function, _) = functions.find(|(_, f)| f.name.as_deref() == Some(name.as_str())).unwrap();
        let result = self.new.expressions.append(Expression::CallResult(function), Span::UNDEFINED);
        self.add(Statement::Call { function, arguments, result: Some(result) });
        result
    }

    /// Calls a function of `arithmetic.wgsl` that returns a value with its m, n and t.
    pub(super) fn call_seen(&mut self, name: &str, size: usize, arguments: Vec<Node>) -> Value {
        let base = self.call(name, size, arguments);
        let [plain, seen @ ..] = [0, 1, 2, 3].map(|index| self.node(Expression::AccessIndex { base, index }));
        Value { plain, seen: Some(seen) }
    }

    /// Copies a function's body; returns its return value.
    pub(super) fn copy(
        &mut self,
        function: &'a Function,
        info: &'a FunctionInfo,
        arguments: Vec<Value>,
        is_inlined: bool,
    ) -> Option<Value> {
        let mut frame =
            Frame { function, info, arguments, values: HashMap::new(), returned: None, is_inlined };
        for (handle, variable) in function.local_variables.iter() {
            let ty = &self.module.types[variable.ty].inner;
            let mut declare = || {
                let variable = LocalVariable { init: None, ..variable.clone() };
                let variable = self.new.local_variables.append(variable, Span::UNDEFINED);
                self.new.expressions.append(Expression::LocalVariable(variable), Span::UNDEFINED)
            };
            let plain = declare();
            let seen = holds_floats(self.module, ty).then(|| [(); 3].map(|()| declare()));
            let pointer = Value { plain, seen };
            // Initialized at each inlined call.
            let value = match variable.init {
                Some(init) => self.value(&mut frame, init),
                None => self.node(Expression::ZeroValue(variable.ty)).into(),
            };
            self.store(pointer, value, variable.ty);
            let expressions = function.expressions.iter();
            let pointers = expressions.filter(|(_, e)| **e == Expression::LocalVariable(handle));
            frame.values.extend(pointers.map(|(node, _)| (node, pointer)));
        }
        self.statements(&mut frame, &function.body);
        frame.returned
    }

    pub(super) fn store(&mut self, pointer: Value, value: Value, ty: Handle<Type>) {
        self.add(Statement::Store { pointer: pointer.plain, value: value.plain });
        if let Some(pointers) = pointer.seen {
            for (pointer, value) in pointers.into_iter().zip(self.seen(value, ty)) {
                self.add(Statement::Store { pointer, value });
            }
        }
    }

    /// m, n and t of a value of this type.
    pub(super) fn seen(&mut self, value: Value, ty: Handle<Type>) -> [Node; 3] {
        value.seen.unwrap_or_else(|| {
            let zero = self.node(Expression::ZeroValue(ty));
            [zero, zero, value.plain]
        })
    }

    pub(super) fn type_of(&self, frame: &Frame, node: Node) -> Handle<Type> {
        match &frame.info[node].ty {
            TypeResolution::Handle(handle) => *handle,
            TypeResolution::Value(inner) => {
                let ty = Type { name: None, inner: inner.clone() };
                self.module.types.get(&ty).expect("arithmetic.wgsl has every type of float")
            }
        }
    }
}
