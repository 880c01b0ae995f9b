//! Which functions are inlined.

use naga::{Block, Function, Statement};

/// Whether a call can be replaced by the function's body: it returns at its end only.
///
/// Others stay functions. None of them may take or return a float, which `rebuilt` checks.
pub(super) fn is_inlined(function: &Function) -> bool {
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
