//! Which members or items of one instance the keywords of a schema have looked at.

use serde_json::Value;

/// What `unevaluatedProperties`, `unevaluatedItems` and closed objects need to know. Costs nothing when off.
#[derive(Debug, Default)]
pub(super) struct Marks {
    on: bool,
    seen: Vec<bool>,
    /// Whether a schema that names properties has been applied.
    names_properties: bool,
}

impl Marks {
    /// Nobody will ask.
    pub(super) const fn off() -> Self {
        Self { on: false, seen: Vec::new(), names_properties: false }
    }

    /// For the members or items of `instance`, none seen yet.
    pub(super) fn of(instance: &Value) -> Self {
        let len = match instance {
            Value::Array(items) => items.len(),
            Value::Object(members) => members.len(),
            _ => 0,
        };
        Self { on: true, seen: vec![false; len], names_properties: false }
    }

    /// Empty marks for a part whose result is not known yet; on if these are on.
    pub(super) fn fresh(&self) -> Self {
        if self.on {
            Self { on: true, seen: vec![false; self.seen.len()], names_properties: false }
        } else {
            Self::off()
        }
    }

    pub(super) const fn is_on(&self) -> bool {
        self.on
    }

    pub(super) fn mark(&mut self, position: usize) {
        if let Some(seen) = self.seen.get_mut(position) {
            *seen = true;
        }
    }

    pub(super) fn mark_all(&mut self) {
        self.seen.fill(true);
    }

    pub(super) const fn note_properties(&mut self) {
        self.names_properties = true;
    }

    pub(super) const fn names_properties(&self) -> bool {
        self.names_properties
    }

    pub(super) fn has(&self, position: usize) -> bool {
        self.seen.get(position).copied().unwrap_or(false)
    }

    /// Takes over what a part that turned out valid has seen.
    pub(super) fn merge(&mut self, part: &Self) {
        self.names_properties |= part.names_properties;
        for (seen, more) in self.seen.iter_mut().zip(&part.seen) {
            *seen |= more;
        }
    }
}
