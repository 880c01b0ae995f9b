//! Translates expressions.

use super::builder::{Builder, Frame, Node, Value, holds_floats};
use naga::{BinaryOperator, Expression, MathFunction, ScalarKind, TypeInner, UnaryOperator, VectorSize};

impl<'a> Builder<'a> {
    /// The translation of an expression; one that is never evaluated is translated now.
    pub(super) fn value(&mut self, frame: &mut Frame<'a>, node: Node) -> Value {
        match frame.values.get(&node) {
            Some(&value) => value,
            None => self.translated(frame, node),
        }
    }

    pub(super) fn plain(&mut self, frame: &mut Frame<'a>, node: Node) -> Node {
        self.value(frame, node).plain
    }

    /// The operand of an operation that uses only the value of a float.
    fn operand(&mut self, frame: &mut Frame<'a>, node: Node) -> Node {
        let plain = self.plain(frame, node);
        match size_of_floats(frame.inner(self.module, node)) {
            Some(size) => self.call("operand", size, vec![plain]),
            None => plain,
        }
    }

    pub(super) fn translated(&mut self, frame: &mut Frame<'a>, node: Node) -> Value {
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

    /// An expression that moves values without computing: it moves m, n and t in the same way, where they are
    /// known.
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
}

/// The number of floats in a scalar or vector, if it has floats.
pub(super) fn size_of_floats(inner: &TypeInner) -> Option<usize> {
    match *inner {
        TypeInner::Scalar(scalar) if scalar.kind == ScalarKind::Float => Some(1),
        TypeInner::Vector { size, scalar } if scalar.kind == ScalarKind::Float => Some(size as usize),
        _ => None,
    }
}
