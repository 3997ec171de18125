//! Which schemas apply to one value by way of each other: no cycles, no long ways.

use portcullis_core::ConfigError;

use super::super::NodeId;
use super::Compiler;

/// Schemas that may apply to one value by way of each other: `$ref` to `allOf` to `$ref` ...
const MAX_CHAIN: usize = 32;

impl Compiler<'_> {
    /// A schema that is applied to a value by way of itself would never end, and a long way of `$ref` and composition
    /// costs stack. Only nodes from `first` on are new, and older ones don't point to them.
    pub(super) fn check_composition(&mut self, first: usize) -> Result<(), ConfigError> {
        let end = self.schemas.nodes.len();
        self.heights.resize(end, None);
        let mut open = vec![false; end];
        for start in first..end {
            // Depth first, with an explicit stack: first the way in, then, below what it leads to, the way out.
            let mut stack = vec![(NodeId(start), Step::Enter)];
            while let Some((id, step)) = stack.pop() {
                let (Some(node), Some(open)) = (self.schemas.node(id), open.get_mut(id.0)) else {
                    continue;
                };
                let inner = node.in_place_nodes();
                let height = |id: &NodeId| self.heights.get(id.0).copied().flatten().unwrap_or(0);
                match step {
                    Step::Enter if height(&id) > 0 => {}
                    Step::Enter if *open => {
                        return Err(self.error(
                            id,
                            "expected a schema that ends, found one that applies itself to the same value",
                        ));
                    }
                    Step::Enter => {
                        *open = true;
                        stack.push((id, Step::Leave));
                        stack.extend(inner.into_iter().map(|inner| (inner, Step::Enter)));
                    }
                    Step::Leave => {
                        *open = false;
                        let total = inner.iter().map(height).max().unwrap_or(0).saturating_add(1);
                        if total > MAX_CHAIN {
                            return Err(self.error(id, "expected at most 32 schemas that refer to each other for one value, found more"));
                        }
                        if let Some(height) = self.heights.get_mut(id.0) {
                            *height = Some(total);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn error(&self, id: NodeId, problem: &str) -> ConfigError {
        let place = self.places.get(id.0).map(String::as_str).unwrap_or_default();
        ConfigError::new(format!("document#{place}"), problem)
    }
}

/// A step of the search in [`Compiler::check_composition`].
#[derive(Clone, Copy)]
enum Step {
    Enter,
    Leave,
}
