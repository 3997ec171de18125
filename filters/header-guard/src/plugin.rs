//! The adapter between the proxy and [`Policy`].

use std::rc::Rc;

use portcullis_core::headers::Headers;
use portcullis_core::verdict::OnError;
use portcullis_core::{ConfigError, Flow, Request, Response, client};
use portcullis_host::certificate::peer_certificate;
use portcullis_host::{Ctx, Filter, Host, Needs, Plugin};

use crate::checks::Checks;
use crate::meters::Meters;
use crate::policy::{Edit, Peer, Policy, is_secure};
use crate::response::Context;

/// Reads and checks a configuration.
///
/// # Errors
/// [`ConfigError`] with the path of the first mistake.
pub fn configure(configuration: &[u8], _host: &dyn Host) -> Result<Rc<dyn Plugin>, ConfigError> {
    let policy = Policy::load(configuration)?;
    Ok(Rc::new(HeaderGuard { policy, meters: Meters::default() }))
}

struct HeaderGuard {
    policy: Policy,
    meters: Meters,
}

impl Plugin for HeaderGuard {
    fn name(&self) -> &'static str {
        "header-guard"
    }

    fn on_error(&self) -> OnError {
        self.policy.on_error()
    }

    fn needs(&self) -> Needs {
        Needs { request_trailers: true, response_headers: true, ..Needs::default() }
    }

    fn start(&self, host: &dyn Host) {
        self.meters.start(host);
    }

    fn filter(self: Rc<Self>) -> Box<dyn Filter> {
        Box::new(Stream { plugin: self, checks: None, peer: Peer::default() })
    }
}

struct Stream {
    plugin: Rc<HeaderGuard>,
    /// Of the rule that selected the request; none before its head was judged.
    checks: Option<Rc<Checks>>,
    peer: Peer,
}

impl Stream {
    fn checks(&self) -> &Checks {
        self.checks.as_ref().unwrap_or_else(|| self.plugin.policy.checks())
    }
}

impl Filter for Stream {
    fn on_request_headers(&mut self, request: &Request, ctx: &mut Ctx<'_>) -> Flow {
        let (policy, host) = (&self.plugin.policy, ctx.host());
        let source = || host.property(&["source", "address"]).ok()?;
        self.peer = policy.peer(
            || client::parse_peer(&source()?),
            // The first one, which SPIFFE says is the only one.
            || peer_certificate(host, "uri_san_peer_certificate").ok()?,
        );
        let checks = match policy.select(request) {
            Ok(checks) => Rc::clone(checks),
            Err(denial) => return denial.into(),
        };
        let mut reports = Vec::new();
        let mut is_changed = false;
        let mut edit = |edit: Edit<'_>| {
            is_changed = true;
            apply(edit, ctx);
        };
        let flow = checks.judge(request, self.peer, &source, &mut edit, &mut |denial| reports.push(denial));
        self.checks = Some(checks);
        if is_changed && matches!(flow, Flow::Continue) {
            self.plugin.meters.request_changed(host);
        }
        reports.into_iter().for_each(|denial| ctx.report(denial));
        flow
    }

    fn on_request_trailers(&mut self, trailers: &Headers, ctx: &mut Ctx<'_>) {
        self.checks().clear_trailers(trailers, self.peer, &mut |edit| apply(edit, ctx));
    }

    fn on_response_headers(&mut self, request: Option<&Request>, response: &Response, ctx: &mut Ctx<'_>) {
        let host = ctx.host();
        let secure = match request {
            Some(request) => is_secure(request.headers(), self.peer),
            None => host.property(&["connection", "tls_version"]).is_ok_and(|version| version.is_some()),
        };
        // Without a clock nothing is known to be past.
        let now = || host.now().unwrap_or_default();
        let context = Context { request, secure, now: &now };
        let mut is_faulty = false;
        self.checks().harden(context, response, &mut |edit| {
            is_faulty |= matches!(edit, Edit::Found(_));
            apply(edit, ctx);
        });
        if is_faulty {
            self.plugin.meters.response_faulty(host);
        }
    }
}

fn apply(edit: Edit<'_>, ctx: &mut Ctx<'_>) {
    match edit {
        Edit::Set(name, value) => ctx.set_header(name, value),
        Edit::Append(name, value) => ctx.append_header(name, value),
        Edit::AppendAll(fields) => ctx.append_headers(fields),
        Edit::Remove(name) => ctx.remove_header(name),
        Edit::Found(what) => ctx.note(what),
    }
}

#[cfg(test)]
mod tests;
