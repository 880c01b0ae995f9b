//! Rewrites a shader so that its float arithmetic is as bad as WGSL allows a compiler to make it.
//!
//! Products are fused into the sums that they feed, sums and products reassociated, quotients and roots moved, subnormals
//! flushed, zeros given the wrong sign, infinity and NaN replaced by any number. What passes through an integer operation
//! is safe from that, as it is from every compiler; a mere `bitcast` there and back is not.
//!
//! Each expression of f32 becomes four: its value, and the m, n and t of which it is known to be m·n + t, as
//! `arithmetic.wgsl` explains. They travel together through variables, vectors, structs and choices, and functions are
//! inlined, so that nothing but an integer operation ends what a compiler may see.

use naga::back::wgsl;
use naga::compact::{KeepUnused, compact};
use naga::proc::TypeResolution;
use naga::valid::{Capabilities, FunctionInfo, ModuleInfo, ValidationFlags, Validator};
use naga::{
    AddressSpace, BinaryOperator, Block, Expression, Function, Handle, LocalVariable, MathFunction, Module,
    Range, ScalarKind, Span, Statement, SwitchCase, Type, TypeInner, UnaryOperator, VectorSize,
};
use std::collections::HashMap;

/// The WGSL of a shader that computes the same at worst.
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

/// The operations at worst, for scalars and for vectors of each size.
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

/// Whether a call can be replaced by the function's body: it returns at its end only.
///
/// Others stay functions; none of them takes or returns a float, or `rebuilt` says so.
fn is_inlined(function: &Function) -> bool {
    returns_at_end(&function.body, true, true)
}

fn returns_at_end(block: &Block, at_end: bool, outermost: bool) -> bool {
    block.iter().enumerate().all(|(i, statement)| {
        let at_end = at_end && i + 1 == block.len();
        match statement {
            Statement::Return { value } => at_end && (outermost || value.is_none()),
            Statement::Block(block) => returns_at_end(block, at_end, outermost),
            Statement::If { accept, reject, .. } => {
                [accept, reject].iter().all(|block| returns_at_end(block, at_end, false))
            }
            Statement::Switch { cases, .. } => cases.iter().all(|c| returns_at_end(&c.body, false, false)),
            Statement::Loop { body, continuing, .. } => {
                [body, continuing].iter().all(|block| returns_at_end(block, false, false))
            }
            _ => true,
        }
    })
}

/// An expression of the new function.
type Node = Handle<Expression>;

/// What an expression of the source became.
#[derive(Clone, Copy)]
struct Value {
    plain: Node,
    /// m, n and t, unless a compiler knows nothing of the value. Bits have those of the float that they are.
    seen: Option<[Node; 3]>,
}

impl From<Node> for Value {
    fn from(plain: Node) -> Self {
        Self { plain, seen: None }
    }
}

/// A function of the source that is being copied, in place of a call if there is one.
struct Frame<'a> {
    function: &'a Function,
    info: &'a FunctionInfo,
    arguments: Vec<Value>,
    values: HashMap<Node, Value>,
    /// What an inlined function returns.
    returned: Option<Value>,
    is_inlined: bool,
}

/// A function in the making.
struct Builder<'a> {
    module: &'a Module,
    info: &'a ModuleInfo,
    new: Function,
    /// The block that statements are added to.
    block: Block,
}

fn rebuilt(
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

/// Whether floats, of which more than the value may be known, are in a type; pointers are those to variables of a function.
fn holds_floats(module: &Module, inner: &TypeInner) -> bool {
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
    fn inner(&self, module: &'a Module, node: Node) -> &TypeInner {
        self.info[node].ty.inner_with(&module.types)
    }
}

impl<'a> Builder<'a> {
    /// Adds an expression, evaluated here.
    fn node(&mut self, expression: Expression) -> Node {
        let is_ready = expression.needs_pre_emit();
        let node = self.new.expressions.append(expression, Span::UNDEFINED);
        if !is_ready {
            self.add(Statement::Emit(Range::new_from_bounds(node, node)));
        }
        node
    }

    fn add(&mut self, statement: Statement) {
        self.block.push(statement, Span::UNDEFINED);
    }

    /// Calls a function of `arithmetic.wgsl`.
    fn call(&mut self, name: &str, size: usize, arguments: Vec<Node>) -> Node {
        let name = format!("worst_{name}_{size}");
        let mut functions = self.module.functions.iter();
        let (function, _) = functions.find(|(_, f)| f.name.as_deref() == Some(name.as_str())).unwrap();
        let result = self.new.expressions.append(Expression::CallResult(function), Span::UNDEFINED);
        self.add(Statement::Call { function, arguments, result: Some(result) });
        result
    }

    /// Calls one that returns a value and what is seen of it.
    fn call_seen(&mut self, name: &str, size: usize, arguments: Vec<Node>) -> Value {
        let base = self.call(name, size, arguments);
        let [plain, seen @ ..] = [0, 1, 2, 3].map(|index| self.node(Expression::AccessIndex { base, index }));
        Value { plain, seen: Some(seen) }
    }

    /// Copies a function's body; returns what it returns.
    fn copy(
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
            // Once for each time the function would be called.
            let value = match variable.init {
                Some(init) => self.value(&mut frame, init),
                None => self.node(Expression::ZeroValue(variable.ty)).into(),
            };
            self.store(pointer, value, variable.ty);
            let expressions = function.expressions.iter();
            let places = expressions.filter(|(_, e)| **e == Expression::LocalVariable(handle));
            frame.values.extend(places.map(|(place, _)| (place, pointer)));
        }
        self.statements(&mut frame, &function.body);
        frame.returned
    }

    fn store(&mut self, pointer: Value, value: Value, ty: Handle<Type>) {
        self.add(Statement::Store { pointer: pointer.plain, value: value.plain });
        if let Some(pointers) = pointer.seen {
            for (pointer, value) in pointers.into_iter().zip(self.seen(value, ty)) {
                self.add(Statement::Store { pointer, value });
            }
        }
    }

    /// m, n and t of a value of this type.
    fn seen(&mut self, value: Value, ty: Handle<Type>) -> [Node; 3] {
        value.seen.unwrap_or_else(|| {
            let zero = self.node(Expression::ZeroValue(ty));
            [zero, zero, value.plain]
        })
    }

    fn type_of(&self, frame: &Frame, node: Node) -> Handle<Type> {
        match &frame.info[node].ty {
            TypeResolution::Handle(handle) => *handle,
            TypeResolution::Value(inner) => {
                let ty = Type { name: None, inner: inner.clone() };
                self.module.types.get(&ty).expect("arithmetic.wgsl has every type of float")
            }
        }
    }

    /// What an expression of the source became; one that is never evaluated becomes it now.
    fn value(&mut self, frame: &mut Frame<'a>, node: Node) -> Value {
        match frame.values.get(&node) {
            Some(&value) => value,
            None => self.translated(frame, node),
        }
    }

    fn plain(&mut self, frame: &mut Frame<'a>, node: Node) -> Node {
        self.value(frame, node).plain
    }

    /// The operand of something that takes a float as it is.
    fn operand(&mut self, frame: &mut Frame<'a>, node: Node) -> Node {
        let plain = self.plain(frame, node);
        match size_of_floats(frame.inner(self.module, node)) {
            Some(size) => self.call("operand", size, vec![plain]),
            None => plain,
        }
    }

    fn translated(&mut self, frame: &mut Frame<'a>, node: Node) -> Value {
        let has_floats = holds_floats(self.module, frame.inner(self.module, node));
        match frame.function.expressions[node] {
            Expression::FunctionArgument(index) => frame.arguments[index as usize],
            ref expression @ (Expression::Literal(_)
            | Expression::Constant(_)
            | Expression::ZeroValue(_)
            | Expression::GlobalVariable(_)) => self.node(expression.clone()).into(),
            Expression::Compose { ty, ref components } => {
                self.each(frame, has_floats, components, |components| Expression::Compose {
                    ty,
                    components: components.to_vec(),
                })
            }
            Expression::Access { base, index } => {
                self.each(frame, true, &[base, index], |e| Expression::Access { base: e[0], index: e[1] })
            }
            Expression::AccessIndex { base, index } => {
                self.each(frame, true, &[base], |e| Expression::AccessIndex { base: e[0], index })
            }
            Expression::Splat { size, value } => {
                self.each(frame, true, &[value], |e| Expression::Splat { size, value: e[0] })
            }
            Expression::Swizzle { size, vector, pattern } => {
                self.each(frame, true, &[vector], |e| Expression::Swizzle { size, vector: e[0], pattern })
            }
            Expression::Load { pointer } => {
                self.each(frame, has_floats, &[pointer], |e| Expression::Load { pointer: e[0] })
            }
            Expression::Select { condition, accept, reject } => {
                self.each(frame, has_floats, &[condition, accept, reject], |e| Expression::Select {
                    condition: e[0],
                    accept: e[1],
                    reject: e[2],
                })
            }
            Expression::Unary { op: UnaryOperator::Negate, expr } if has_floats => {
                let value = self.value(frame, expr);
                self.negated(value)
            }
            Expression::Unary { op, expr } => {
                let expr = self.plain(frame, expr);
                self.node(Expression::Unary { op, expr }).into()
            }
            Expression::Binary { op, left, right } => self.binary(frame, op, left, right),
            Expression::Math { fun, arg, arg1, arg2, arg3 } => {
                if let Some(size) = size_of_floats(frame.inner(self.module, arg)) {
                    let others = [arg1, arg2, arg3].into_iter().flatten().collect::<Vec<_>>();
                    return self.math(frame, fun, size, arg, &others);
                }
                let mut plain = |node| self.plain(frame, node);
                let arg = plain(arg);
                let [arg1, arg2, arg3] = [arg1, arg2, arg3].map(|arg| arg.map(&mut plain));
                self.node(Expression::Math { fun, arg, arg1, arg2, arg3 }).into()
            }
            Expression::As { expr, kind, convert } => {
                let from_float = size_of_floats(frame.inner(self.module, expr)).is_some();
                let value = self.value(frame, expr);
                if from_float && has_floats {
                    return value;
                }
                let plain = self.node(Expression::As { expr: value.plain, kind, convert });
                Value { plain, seen: value.seen.filter(|_| convert.is_none()) }
            }
            Expression::Relational { fun, argument } => {
                let argument = self.plain(frame, argument);
                self.node(Expression::Relational { fun, argument }).into()
            }
            Expression::ArrayLength(array) => {
                let array = self.plain(frame, array);
                self.node(Expression::ArrayLength(array)).into()
            }
            ref other => panic!("the pass does not know {other:?}"),
        }
    }

    /// An expression that moves values and computes nothing: it moves m, n and t alike, where they are seen.
    fn each(
        &mut self,
        frame: &mut Frame<'a>,
        is_seen: bool,
        operands: &[Node],
        make: impl Fn(&[Node]) -> Expression,
    ) -> Value {
        let values: Vec<Value> = operands.iter().map(|&operand| self.value(frame, operand)).collect();
        let plain: Vec<Node> = values.iter().map(|value| value.plain).collect();
        let plain = self.node(make(&plain));
        if !is_seen || values.iter().all(|value| value.seen.is_none()) {
            return plain.into();
        }
        let parts: Vec<[Node; 3]> = operands
            .iter()
            .zip(values)
            .map(|(&operand, value)| match value.seen {
                None if holds_floats(self.module, frame.inner(self.module, operand)) => {
                    let ty = self.type_of(frame, operand);
                    self.seen(value, ty)
                }
                seen => seen.unwrap_or([value.plain; 3]),
            })
            .collect();
        let seen = [0, 1, 2].map(|part| {
            let operands: Vec<Node> = parts.iter().map(|parts| parts[part]).collect();
            self.node(make(&operands))
        });
        Value { plain, seen: Some(seen) }
    }

    fn splat(&mut self, size: usize, value: Node) -> Node {
        let size = [VectorSize::Bi, VectorSize::Tri, VectorSize::Quad][size - 2];
        self.node(Expression::Splat { size, value })
    }

    /// -(m·n + t) is (-m)·n - t.
    fn negated(&mut self, value: Value) -> Value {
        let mut minus = |expr| self.node(Expression::Unary { op: UnaryOperator::Negate, expr });
        Value { plain: minus(value.plain), seen: value.seen.map(|[m, n, t]| [minus(m), n, minus(t)]) }
    }

    fn binary(&mut self, frame: &mut Frame<'a>, op: BinaryOperator, left: Node, right: Node) -> Value {
        let sizes = [left, right].map(|node| size_of_floats(frame.inner(self.module, node)));
        let [Some(left_size), Some(right_size)] = sizes else {
            let (left, right) = (self.plain(frame, left), self.plain(frame, right));
            return self.node(Expression::Binary { op, left, right }).into();
        };
        let size = left_size.max(right_size);
        match op {
            BinaryOperator::Add | BinaryOperator::Subtract | BinaryOperator::Multiply => {
                let mut arguments = Vec::new();
                for (node, node_size, is_left) in [(left, left_size, true), (right, right_size, false)] {
                    let ty = self.type_of(frame, node);
                    let mut value = self.value(frame, node);
                    if op == BinaryOperator::Subtract && !is_left {
                        value = self.negated(value);
                    }
                    let [m, n, t] = self.seen(value, ty);
                    // A vector may be multiplied by a scalar.
                    let splat = |part| if node_size < size { self.splat(size, part) } else { part };
                    arguments.extend([value.plain, m, n, t].map(splat));
                }
                let name = if op == BinaryOperator::Multiply { "product" } else { "sum" };
                self.call_seen(name, size, arguments)
            }
            BinaryOperator::Divide => {
                let arguments = vec![self.plain(frame, left), self.plain(frame, right)];
                self.call("quotient", size, arguments).into()
            }
            BinaryOperator::Modulo => panic!("the pass does not know a remainder of floats"),
            _ => {
                let (left, right) = (self.operand(frame, left), self.operand(frame, right));
                self.node(Expression::Binary { op, left, right }).into()
            }
        }
    }

    fn math(
        &mut self,
        frame: &mut Frame<'a>,
        fun: MathFunction,
        size: usize,
        arg: Node,
        others: &[Node],
    ) -> Value {
        match fun {
            MathFunction::Abs => {
                let value = self.value(frame, arg);
                let ty = self.type_of(frame, arg);
                let [m, n, t] = self.seen(value, ty);
                self.call_seen("magnitude", size, vec![value.plain, m, n, t])
            }
            MathFunction::Sqrt => {
                let arg = self.plain(frame, arg);
                self.call("root", size, vec![arg]).into()
            }
            MathFunction::Min
            | MathFunction::Max
            | MathFunction::Clamp
            | MathFunction::Floor
            | MathFunction::Ceil
            | MathFunction::Round
            | MathFunction::Trunc => {
                let arg = self.operand(frame, arg);
                let mut others = others.iter().map(|&other| self.operand(frame, other));
                let [arg1, arg2] = [(); 2].map(|()| others.next());
                drop(others);
                self.node(Expression::Math { fun, arg, arg1, arg2, arg3: None }).into()
            }
            _ => panic!("the pass does not know {fun:?} of floats"),
        }
    }

    /// The statements of a block within the one that is being made.
    fn nested(&mut self, frame: &mut Frame<'a>, block: &'a Block) -> Block {
        let outer = std::mem::take(&mut self.block);
        self.statements(frame, block);
        std::mem::replace(&mut self.block, outer)
    }

    fn statements(&mut self, frame: &mut Frame<'a>, block: &'a Block) {
        for statement in block {
            self.statement(frame, statement);
        }
    }

    fn statement(&mut self, frame: &mut Frame<'a>, statement: &'a Statement) {
        match *statement {
            Statement::Emit(ref range) => {
                for node in range.clone() {
                    let value = self.translated(frame, node);
                    frame.values.insert(node, value);
                }
            }
            Statement::Block(ref block) => {
                let block = self.nested(frame, block);
                self.add(Statement::Block(block));
            }
            Statement::If { condition, ref accept, ref reject } => {
                let condition = self.plain(frame, condition);
                let [accept, reject] = [accept, reject].map(|block| self.nested(frame, block));
                self.add(Statement::If { condition, accept, reject });
            }
            Statement::Switch { selector, ref cases } => {
                let selector = self.plain(frame, selector);
                let case = |case: &'a SwitchCase| SwitchCase {
                    value: case.value,
                    body: self.nested(frame, &case.body),
                    fall_through: case.fall_through,
                };
                let cases = cases.iter().map(case).collect();
                self.add(Statement::Switch { selector, cases });
            }
            Statement::Loop { ref body, ref continuing, break_if } => {
                let [body, continuing] = [body, continuing].map(|block| self.nested(frame, block));
                let break_if = break_if.map(|node| self.plain(frame, node));
                self.add(Statement::Loop { body, continuing, break_if });
            }
            Statement::Return { value } => {
                let value = value.map(|value| self.value(frame, value));
                if frame.is_inlined {
                    frame.returned = value;
                } else {
                    self.add(Statement::Return { value: value.map(|value| value.plain) });
                }
            }
            Statement::Store { pointer, value } => {
                let ty = self.type_of(frame, value);
                let (pointer, value) = (self.value(frame, pointer), self.value(frame, value));
                self.store(pointer, value, ty);
            }
            Statement::Call { function, ref arguments, result } => {
                let callee = &self.module.functions[function];
                let arguments: Vec<Value> =
                    arguments.iter().map(|&argument| self.value(frame, argument)).collect();
                let returned = if is_inlined(callee) {
                    self.copy(callee, &self.info[function], arguments, true)
                } else {
                    let arguments = arguments.iter().map(|argument| argument.plain).collect();
                    let result = result.map(|_| {
                        self.new.expressions.append(Expression::CallResult(function), Span::UNDEFINED)
                    });
                    self.add(Statement::Call { function, arguments, result });
                    result.map(Value::from)
                };
                frame.values.extend(result.zip(returned));
            }
            Statement::Atomic { pointer, fun, value, result } => {
                let (pointer, value) = (self.plain(frame, pointer), self.plain(frame, value));
                let node = result.map(|result| {
                    let expression = frame.function.expressions[result].clone();
                    self.new.expressions.append(expression, Span::UNDEFINED)
                });
                self.add(Statement::Atomic { pointer, fun, value, result: node });
                frame.values.extend(result.zip(node.map(Value::from)));
            }
            Statement::Break => self.add(Statement::Break),
            Statement::Continue => self.add(Statement::Continue),
            ref other => panic!("the pass does not know {other:?}"),
        }
    }
}

/// How many floats a scalar or vector has, if it has floats.
fn size_of_floats(inner: &TypeInner) -> Option<usize> {
    match *inner {
        TypeInner::Scalar(scalar) if scalar.kind == ScalarKind::Float => Some(1),
        TypeInner::Vector { size, scalar } if scalar.kind == ScalarKind::Float => Some(size as usize),
        _ => None,
    }
}
