//! Selectors compiled into a trie over path segments.

use std::collections::BTreeMap;

use super::selector::{Conditions, Selector, Subject};
use super::template::{Affix, Part, Template};
use crate::path::{CanonicalPath, PathError};
use crate::{ConfigError, Denial, Request};

/// Rules by selector: finds those that are for a request, the most specific template first.
///
/// Segment by segment from the left a literal is more specific than a variable with text around it (longer text
/// first), then comes a variable alone, then `**`; a selector without a path comes last. So a concrete template
/// beats a templated one wherever it stands in the list. Between equal templates, names of variables apart, the
/// order of the list decides. A template whose other conditions do not hold gives way to the next.
///
/// A look-up visits each node of the trie once at most, so that no path is expensive: its cost is bounded by the
/// templates that share the path's beginning. No recursion.
#[derive(Debug)]
pub struct RouteTable<T> {
    entries: Vec<Entry<T>>,
    nodes: Vec<Node>,
    /// Entries without a path, in the order of the list.
    anywhere: Vec<usize>,
    names_hosts: bool,
}

/// A selector that is met, with what its template found in the path.
#[derive(Debug, PartialEq, Eq)]
pub struct Match<'a, T> {
    /// What the selector is for.
    pub value: &'a T,
    /// The path template as it was written; empty for a selector without a path.
    pub template: &'a str,
    /// Name and decoded value of each variable, in the order of the template.
    pub variables: Vec<(&'a str, String)>,
}

#[derive(Debug)]
struct Entry<T> {
    conditions: Conditions,
    text: String,
    template: Option<Template>,
    value: T,
}

/// All that can follow one beginning of a path. Numbers are positions in `RouteTable::nodes` and `entries`.
#[derive(Debug, Default)]
struct Node {
    /// Ordered maps, not hashed ones: nothing to collide, and no random seed to ask a restricted host for.
    literals: BTreeMap<String, usize>,
    /// Most specific first.
    affixed: Vec<(Affix, usize)>,
    variable: Option<usize>,
    /// Entries whose template ends here, in the order of the list.
    here: Vec<usize>,
    /// Entries whose template goes on with `**`, in the order of the list.
    rest: Vec<usize>,
}

/// One step of a look-up that is still to be done.
enum Step<'t, 'p> {
    /// Try the node `.0` for the rest of the path `.1`, which is empty or starts with a segment.
    Enter(usize, &'p str),
    /// Try these entries.
    Try(&'t [usize]),
}

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> RouteTable<T> {
    /// A table without rules.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: Vec::new(), nodes: vec![Node::default()], anywhere: Vec::new(), names_hosts: false }
    }

    /// Checks and compiles selectors with what they stand for, in the order of the operator's list.
    ///
    /// # Errors
    /// [`ConfigError`] with a path such as `[3].match.path`, for the caller to put the list's name before.
    pub fn build(rules: Vec<(Selector, T)>) -> Result<Self, ConfigError> {
        let mut table = Self::new();
        for (i, (selector, value)) in rules.into_iter().enumerate() {
            table.insert(selector, value).map_err(|error| error.under(&format!("[{i}].match")))?;
        }
        Ok(table)
    }

    /// Adds a selector behind those that are there, with what it stands for.
    ///
    /// # Errors
    /// [`ConfigError`] with a path within the selector, as in `hosts[1]`.
    pub fn insert(&mut self, selector: Selector, value: T) -> Result<(), ConfigError> {
        let conditions = Conditions::new(&selector)?;
        let template = selector.path.as_deref().map(Template::parse).transpose();
        let template = template.map_err(|problem| ConfigError::new("path", problem))?;
        let entry = self.entries.len();
        self.names_hosts |= conditions.names_hosts();
        match &template {
            Some(template) => self.place(template, entry),
            None => self.anywhere.push(entry),
        }
        self.entries.push(Entry { conditions, text: selector.path.unwrap_or_default(), template, value });
        Ok(())
    }

    /// Hangs an entry into the trie.
    fn place(&mut self, template: &Template, entry: usize) {
        let mut at = 0;
        for part in &template.parts {
            let new = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else {
                return;
            };
            at = match part {
                Part::Literal(text) => *node.literals.entry(text.clone()).or_insert(new),
                Part::Affixed { affix, .. } => {
                    match node.affixed.binary_search_by(|(other, _)| other.cmp(affix)) {
                        Ok(found) => node.affixed.get(found).map_or(new, |(_, child)| *child),
                        Err(place) => {
                            node.affixed.insert(place, (affix.clone(), new));
                            new
                        }
                    }
                }
                Part::Variable(_) => *node.variable.get_or_insert(new),
                // Only at the end, see `Template::parse`.
                Part::Rest => return node.rest.push(entry),
            };
            if at == new {
                self.nodes.push(Node::default());
            }
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.here.push(entry);
        }
    }

    /// The first match: the most specific template whose conditions hold.
    ///
    /// # Errors
    /// A 400 or 414 denial when the path is ambiguous or too long, also for an empty table; a 400 when a selector
    /// names hosts and the authority is not one host. Such a request must be refused, not treated as unmatched.
    pub fn select(&self, request: &Request) -> Result<Option<Match<'_, T>>, Denial> {
        let mut found = None;
        self.search(request, |matched| {
            found = Some(matched);
            false
        })?;
        Ok(found)
    }

    /// Every match, the most specific first.
    ///
    /// # Errors
    /// As [`RouteTable::select`].
    pub fn all(&self, request: &Request) -> Result<Vec<Match<'_, T>>, Denial> {
        let mut found = Vec::new();
        self.search(request, |matched| {
            found.push(matched);
            true
        })?;
        Ok(found)
    }

    /// Gives the matches to `visit`, the most specific first, as long as it returns true.
    fn search<'t>(
        &'t self,
        request: &Request,
        mut visit: impl FnMut(Match<'t, T>) -> bool,
    ) -> Result<(), Denial> {
        let path = request.path()?;
        if path.is_asterisk() && request.method() != b"OPTIONS" {
            return Err(PathError::NotAbsolute.denial());
        }
        let subject = Subject::new(request, self.names_hosts)?;
        let mut steps = Vec::with_capacity(16);
        steps.push(Step::Try(&self.anywhere));
        if !path.is_asterisk() {
            steps.push(Step::Enter(0, path.as_str().trim_matches('/')));
        }
        while let Some(step) = steps.pop() {
            match step {
                Step::Enter(node, rest) => self.enter(node, rest, &mut steps),
                Step::Try(entries) => {
                    for entry in entries.iter().filter_map(|entry| self.entries.get(*entry)) {
                        if entry.conditions.hold(&subject) && !visit(entry.matched(path)) {
                            return Ok(());
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts what can be tried from a node onto the stack, the most specific on top.
    fn enter<'t, 'p>(&'t self, node: usize, rest: &'p str, steps: &mut Vec<Step<'t, 'p>>) {
        let Some(node) = self.nodes.get(node) else {
            return;
        };
        steps.push(Step::Try(&node.rest));
        if rest.is_empty() {
            steps.push(Step::Try(&node.here));
            return;
        }
        let (segment, rest) = rest.split_once('/').unwrap_or((rest, ""));
        steps.extend(node.variable.map(|child| Step::Enter(child, rest)));
        let fitting = node.affixed.iter().rev().filter(|(affix, _)| affix.strip(segment).is_some());
        steps.extend(fitting.map(|(_, child)| Step::Enter(*child, rest)));
        steps.extend(node.literals.get(segment).map(|child| Step::Enter(*child, rest)));
    }
}

impl<T> Entry<T> {
    fn matched(&self, path: &CanonicalPath) -> Match<'_, T> {
        let variables = self.template.as_ref().map(|template| template.variables(path)).unwrap_or_default();
        Match { value: &self.value, template: &self.text, variables }
    }
}

#[cfg(test)]
mod tests;
