//! One operation: its parameters and its body.

use portcullis_core::denial::FieldError;
use portcullis_core::{ConfigError, Request};

use super::content::{self, Body};
use super::parameter::{Location, Parameter};
use super::query::Query;
use super::{METHODS, PATH_ITEM, Path, TooComplex, variables};
use crate::document::{Document, Located};
use crate::schema::{Compiler, MAX_VIOLATIONS, Schemas};

/// Members of an operation (OpenAPI 3.1.1 section 4.8.10).
const OPERATION: &[&str] = &[
    "tags",
    "summary",
    "description",
    "externalDocs",
    "operationId",
    "parameters",
    "requestBody",
    "responses",
    "callbacks",
    "deprecated",
    "security",
    "servers",
];

/// A method with a path template, ready to check requests.
#[derive(Debug)]
pub struct Operation {
    method: String,
    name: String,
    parameters: Vec<Parameter>,
    body: Option<Body>,
}

/// Reads a path item with all its operations.
pub(super) fn read_path<'d>(
    document: &'d Document,
    item: &Located<'d>,
    template: &str,
    compiler: &mut Compiler<'d>,
    warnings: &mut Vec<String>,
) -> Result<Path, ConfigError> {
    let item = document.resolve(item.clone())?;
    item.only(&[PATH_ITEM, METHODS].concat())?;
    let shared = read_parameters(document, &item, compiler)?;
    let mut path = Path::default();
    for method in METHODS {
        let Some(at) = item.member(method) else {
            continue;
        };
        at.only(OPERATION)?;
        // The operation's own parameters replace those of the path with the same name and place.
        let mut parameters = read_parameters(document, &at, compiler)?;
        let inherited = shared.iter().filter(|one| !parameters.iter().any(|own| own.is_same(one)));
        parameters.extend(inherited.cloned().collect::<Vec<_>>());
        check_path_parameters(&at, template, &parameters)?;
        let method = method.to_ascii_uppercase();
        let name = match at.member("operationId") {
            Some(id) => id.text()?.to_owned(),
            None => format!("{method} {template}"),
        };
        let body = match at.member("requestBody") {
            Some(body) => Some(content::read_body(document, &document.resolve(body)?, compiler, warnings)?),
            None => None,
        };
        path.operations.push(Operation { method, name, parameters, body });
    }
    Ok(path)
}

fn read_parameters<'d>(
    document: &'d Document,
    at: &Located<'d>,
    compiler: &mut Compiler<'d>,
) -> Result<Vec<Parameter>, ConfigError> {
    let mut parameters: Vec<Parameter> = Vec::new();
    let Some(list) = at.member("parameters") else {
        return Ok(parameters);
    };
    for item in list.items()? {
        let at = document.resolve(item)?;
        let Some(parameter) = Parameter::read(&at, compiler)? else {
            continue;
        };
        if parameters.iter().any(|other| other.is_same(&parameter)) {
            return Err(at.error(format!("expected each parameter once, found `{}` twice", parameter.name())));
        }
        parameters.push(parameter);
    }
    Ok(parameters)
}

/// Every variable of the template has a parameter, or it would not be checked; every path parameter has a variable.
fn check_path_parameters(
    at: &Located<'_>,
    template: &str,
    parameters: &[Parameter],
) -> Result<(), ConfigError> {
    let described =
        |name: &str| parameters.iter().any(|one| one.location() == Location::Path && one.name() == name);
    if let Some(name) = variables(template).find(|name| !described(name)) {
        return Err(at.error(format!("expected a path parameter for `{{{name}}}`, found none")));
    }
    let in_path = parameters.iter().filter(|one| one.location() == Location::Path);
    for parameter in in_path {
        if !variables(template).any(|name| name == parameter.name()) {
            let name = parameter.name();
            return Err(at.error(format!(
                "expected `{{{name}}}` in the path template for the parameter `{name}`, found none"
            )));
        }
    }
    Ok(())
}

impl Operation {
    /// The method, upper-case.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The operationId, or `GET /orders/{id}`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the document says about the body; none when the operation has none.
    #[must_use]
    pub const fn body(&self) -> Option<&Body> {
        self.body.as_ref()
    }

    /// Everything that is wrong with the parameters of a request, the first 20 mistakes. `variables` are those of the
    /// path; with `strict_query`, query parameters that are not documented are mistakes.
    ///
    /// # Errors
    /// [`TooComplex`] when a schema could not be evaluated within its bounds.
    pub fn check_parameters(
        &self,
        request: &Request,
        variables: &[(&str, String)],
        strict_query: bool,
        schemas: &Schemas,
    ) -> Result<Vec<FieldError>, TooComplex> {
        let mut errors = Vec::new();
        let query = match Query::parse(request.query().unwrap_or_default()) {
            Ok(query) => query,
            Err(error) => return Ok(vec![error]),
        };
        let cookies = super::query::cookies(request.headers());
        // Exploded objects may take any name, so they come after those that ask for theirs.
        for greedy in [false, true] {
            for parameter in self.parameters.iter().filter(|one| one.is_greedy() == greedy) {
                let input = parameter.input(request, variables, &query, &cookies, schemas);
                parameter.check(input, schemas, &mut errors)?;
            }
        }
        if strict_query {
            errors.extend(query.unused().map(|name| Location::Query.error(name, "unknown")));
        }
        errors.truncate(MAX_VIOLATIONS);
        Ok(errors)
    }
}
