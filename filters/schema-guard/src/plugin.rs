//! The adapter to the proxy.

use std::rc::Rc;

use portcullis_core::verdict::OnError;
use portcullis_core::{ConfigError, Denial, Flow, Mode, Request, config};
use portcullis_host::{Ctx, Filter, Host, Level, Plugin};

use crate::policy::{BodyCheck, Next, Policy};

/// Warnings that are written to the log for one configuration.
const MAX_WARNINGS: usize = 10;

/// Reads and checks a configuration.
///
/// # Errors
/// [`ConfigError`] with the place of the first mistake.
pub fn configure(configuration: &[u8], host: &dyn Host) -> Result<Rc<dyn Plugin>, ConfigError> {
    let policy = Policy::new(config::load(configuration)?)?;
    let warnings = policy.warnings();
    for warning in warnings.iter().take(MAX_WARNINGS) {
        host.log(Level::Warn, &format!("schema-guard: {warning}"));
    }
    if let Some(more) = warnings.len().checked_sub(MAX_WARNINGS).filter(|more| *more > 0) {
        host.log(Level::Warn, &format!("schema-guard: {more} more like these"));
    }
    Ok(Rc::new(SchemaGuard { policy }))
}

struct SchemaGuard {
    policy: Policy,
}

impl Plugin for SchemaGuard {
    fn name(&self) -> &'static str {
        "schema-guard"
    }

    fn on_error(&self) -> OnError {
        self.policy.on_error()
    }

    fn filter(self: Rc<Self>) -> Box<dyn Filter> {
        Box::new(Guard { plugin: self, waiting: None })
    }
}

struct Guard {
    plugin: Rc<SchemaGuard>,
    waiting: Option<Waiting>,
}

/// What to do with the body when it is there.
struct Waiting {
    check: BodyCheck,
    mode: Mode,
    rule: Option<String>,
}

impl Filter for Guard {
    fn on_request_headers(&mut self, request: &Request, ctx: &mut Ctx<'_>) -> Flow {
        let head = self.plugin.policy.check_head(request);
        if let Some(operation) = head.operation {
            ctx.set_operation(operation);
        }
        match head.next {
            Ok(Next::Pass) => Flow::Continue,
            Ok(Next::Body(check)) => {
                self.waiting = Some(Waiting { check, mode: head.mode, rule: head.rule.map(str::to_owned) });
                Flow::NeedBody { limit: self.plugin.policy.max_body() }
            }
            Err(denial) => ctx.decide(head.mode, with_rule(denial, head.rule)),
        }
    }

    fn on_request_body(&mut self, _request: &Request, body: &[u8], ctx: &mut Ctx<'_>) -> Flow {
        let Some(waiting) = self.waiting.take() else {
            return Denial::unavailable(portcullis_core::Reason("host.unexpected_callback")).into();
        };
        match self.plugin.policy.check_body(waiting.check, body) {
            Ok(()) => Flow::Continue,
            Err(denial) => ctx.decide(waiting.mode, with_rule(denial, waiting.rule.as_deref())),
        }
    }
}

fn with_rule(denial: Denial, rule: Option<&str>) -> Denial {
    match rule {
        Some(rule) => denial.by_rule(rule),
        None => denial,
    }
}

#[cfg(test)]
mod tests;
