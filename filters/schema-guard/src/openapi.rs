//! The requests that an OpenAPI document describes, compiled: paths, methods, parameters and bodies.

mod content;
mod operation;
mod parameter;
mod query;
mod style;

use std::collections::BTreeMap;

use portcullis_core::routes::{Match, RouteTable, Selector};
use portcullis_core::{ConfigError, Denial, Request};

pub use content::{Content, MediaType};
pub use operation::Operation;

use crate::document::{Document, Located};
use crate::schema::{Compiler, NodeId, Outcome, Schemas, Violation};

/// Members of the document's root (OpenAPI 3.1.1 section 4.8.1).
const ROOT: &[&str] = &[
    "openapi",
    "info",
    "jsonSchemaDialect",
    "servers",
    "paths",
    "webhooks",
    "components",
    "security",
    "tags",
    "externalDocs",
];

/// Members of a path item that are not methods.
const PATH_ITEM: &[&str] = &["$ref", "summary", "description", "servers", "parameters"];

/// Methods that a path item may have (OpenAPI 3.1.1 section 4.8.9).
pub const METHODS: &[&str] = &["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// A whole API.
#[derive(Debug)]
pub struct Api {
    routes: RouteTable<Path>,
    schemas: Schemas,
}

/// All operations of one path template.
#[derive(Debug, Default)]
pub struct Path {
    operations: Vec<Operation>,
}

/// How a document is read.
#[derive(Clone, Debug, Default)]
pub struct Reading<'a> {
    /// Put before each path of the document; empty or `/...`.
    pub base_path: &'a str,
    /// Whether members of objects that no schema names are refused.
    pub close: bool,
}

impl Api {
    /// Compiles everything that requests need. Also returns what the operator should know about the document.
    ///
    /// # Errors
    /// [`ConfigError`] with the JSON pointer of the first mistake.
    pub fn new(document: &Document, reading: &Reading<'_>) -> Result<(Self, Vec<String>), ConfigError> {
        let root = document.root();
        root.only(ROOT)?;
        if let Some(dialect) = root.member("jsonSchemaDialect")
            && !crate::schema::is_known_dialect(dialect.text()?)
        {
            return Err(dialect.expected("the dialect of JSON Schema 2020-12 or OpenAPI 3.1"));
        }
        let mut compiler = Compiler::new(document, reading.close);
        let mut warnings = Vec::new();
        let mut paths: BTreeMap<String, (Located<'_>, String, Path)> = BTreeMap::new();
        // OpenAPI 3.1 allows a document without paths; it describes no request.
        let items: Vec<_> = match root.member("paths") {
            Some(paths) => paths.members()?.filter(|(name, _)| !name.starts_with("x-")).collect(),
            None => Vec::new(),
        };
        for (template, item) in items {
            if template.contains('#') {
                warnings.push(format!("document#{}: never matched, a request has no fragment", item.pointer));
            }
            let full = format!("{}{template}", reading.base_path);
            let path = operation::read_path(document, &item, &full, &mut compiler, &mut warnings)?;
            if template.contains('#') {
                continue;
            }
            // Alone first, as its error then has a place in the document.
            let selector = Selector { path: Some(full.clone()), ..Selector::default() };
            RouteTable::build(vec![(selector, ())]).map_err(|error| item.error(error.problem))?;
            match paths.get_mut(&without_names(&full)) {
                None => drop(paths.insert(without_names(&full), (item, full, path))),
                // `/a` and `/a/` are one path here, as for the router of most upstreams.
                Some((_, other, known)) if full.trim_end_matches('/') == other.trim_end_matches('/') => {
                    known.join(path, &item)?;
                }
                Some((_, other, _)) => {
                    let problem =
                        format!("expected one template for each path, found `{template}` beside `{other}`");
                    return Err(item.error(problem));
                }
            }
        }
        let selector = |path| Selector { path: Some(path), ..Selector::default() };
        let table = paths.into_values().map(|(_, full, path)| (selector(full), path)).collect();
        let routes = RouteTable::build(table).map_err(|error| error.under("document"))?;
        let (schemas, more) = compiler.finish();
        warnings.extend(more);
        Ok((Self { routes, schemas }, warnings))
    }

    /// The path of a request, the concrete template before the one with variables; none when it is not documented.
    ///
    /// # Errors
    /// The 400 or 414 denial of a path that has more than one reading.
    pub fn find(&self, request: &Request) -> Result<Option<Match<'_, Path>>, Denial> {
        self.routes.select(request)
    }

    /// The compiled schemas.
    #[must_use]
    pub const fn schemas(&self) -> &Schemas {
        &self.schemas
    }
}

impl Path {
    /// The operation of a method, compared exactly.
    #[must_use]
    pub fn operation(&self, method: &[u8]) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.method().as_bytes() == method)
    }

    /// The documented methods, as the value of `Allow` (RFC 9110 section 10.2.1).
    #[must_use]
    pub fn methods(&self) -> Vec<&str> {
        self.operations.iter().map(Operation::method).collect()
    }

    fn join(&mut self, other: Self, at: &Located<'_>) -> Result<(), ConfigError> {
        for operation in other.operations {
            if self.operation(operation.method().as_bytes()).is_some() {
                let problem = format!(
                    "expected `{}` once for this path, found it with and without a final `/`",
                    operation.method()
                );
                return Err(at.error(problem));
            }
            self.operations.push(operation);
        }
        Ok(())
    }
}

/// A template with its variables unnamed: two of these that are equal match the same paths.
fn without_names(template: &str) -> String {
    let mut text = String::with_capacity(template.len());
    let mut inside = false;
    for c in template.trim_end_matches('/').chars() {
        inside = c == '{' || (inside && c != '}');
        if !inside || c == '{' {
            text.push(c);
        }
    }
    text
}

/// The names of a template's variables, in order.
fn variables(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
}

/// The bound was reached before there was a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooComplex;

/// The violations of a value whose text had `len` bytes; none for a valid one.
fn violations(
    schemas: &Schemas,
    schema: NodeId,
    value: &serde_json::Value,
    len: usize,
) -> Result<Vec<Violation>, TooComplex> {
    match schemas.validate(schema, value, len) {
        Outcome::Valid => Ok(Vec::new()),
        Outcome::Invalid(violations) => Ok(violations),
        Outcome::TooComplex => Err(TooComplex),
    }
}
