//! Translates statements.

use super::builder::{Builder, Frame, Value};
use super::inline::is_inlined;
use naga::{Block, Expression, Span, Statement, SwitchCase};

impl<'a> Builder<'a> {
    /// Translates the statements of a nested block.
    fn nested(&mut self, frame: &mut Frame<'a>, block: &'a Block) -> Block {
        let outer = std::mem::take(&mut self.block);
        self.statements(frame, block);
        std::mem::replace(&mut self.block, outer)
    }

    pub(super) fn statements(&mut self, frame: &mut Frame<'a>, block: &'a Block) {
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
